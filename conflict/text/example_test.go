package text_test

import (
	"fmt"

	"github.com/causeway-sync/causeway/conflict/text"
	"github.com/causeway-sync/causeway/vclock"
)

// Two sites edit one draft while the link between them is cut.
func Example() {
	shop, office := text.New(), text.New()
	shop.Insert("shop", 0, "Your parcel is late.")
	runs, _ := shop.Since(vclock.Vector{})
	office.Apply(runs)

	// The link is cut.
	shop.Insert("shop", 19, " again")
	office.Edit("office", text.Edit{Pos: 15, Del: 4, Ins: "on its way"})

	// It is healed: each sends what the other lacks.
	toOffice, _ := shop.Since(office.Vector())
	toShop, _ := office.Since(shop.Vector())
	edits, _ := office.Apply(toOffice)
	shop.Apply(toShop)
	fmt.Println(edits)
	fmt.Println(shop)
	fmt.Println(shop.String() == office.String())
	// Output:
	// [{25 0  again}]
	// Your parcel is on its way again.
	// true
}

// A simple client sends edits on the version that it saw, and makes the edits
// that come back on its own text.
func ExampleDoc_EditAt() {
	d := text.New()
	d.Insert("edge-1", 0, "call back at nine")
	seen, screen := d.Version(), d.String()
	d.Edit("edge-2", text.Edit{Pos: 13, Del: 4, Ins: "ten"}) // the client has not heard of it

	edit := text.Edit{Pos: 0, Ins: "please "}
	m, _ := d.EditAt("edge-1", seen, edit)
	screen, _ = text.Patch(screen, edit)
	screen, _ = text.Patch(screen, m.Others...)
	fmt.Println(screen)
	fmt.Println(d)
	// Output:
	// please call back at ten
	// please call back at ten
}

func ExampleDoc_Undo() {
	d := text.New()
	d.Insert("ann", 0, "two eggs")
	mine, _ := d.Edit("bob", text.Edit{Pos: 0, Del: 3, Ins: "ten"})
	d.Insert("ann", 8, ", milk")
	d.Undo(mine)
	fmt.Println(d)
	// Output: two eggs, milk
}
