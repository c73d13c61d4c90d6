// Package clock looks at the clock, also under another name.
package clock

import (
	"fmt"
	clocks "time"
)

var begin = clocks.Now

func wait() {
	<-clocks.After(1)
	fmt.Println(clocks.Since(begin()))
}
