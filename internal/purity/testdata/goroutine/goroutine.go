// Package goroutine does several things at once.
package goroutine

func init() {
	work := make(chan int)
	go func() { work <- 1 }()
	select {
	case <-work:
	}
}
