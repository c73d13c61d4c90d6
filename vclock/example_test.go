package vclock_test

import (
	"fmt"

	"github.com/causeway-sync/causeway/vclock"
)

func ExampleVector_Compare() {
	shop := vclock.Of(vclock.Dot{Origin: "shop", Seq: 3})
	car := shop.With(vclock.Dot{Origin: "car", Seq: 1})
	shop = shop.With(vclock.Dot{Origin: "shop", Seq: 4})
	fmt.Println(shop.Compare(car))
	fmt.Println(car.Compare(shop.Merge(car)))
	// Output:
	// concurrent
	// before
}

func ExampleVector_Covers() {
	seen := vclock.Of(vclock.Dot{Origin: "shop", Seq: 3})
	fmt.Println(seen.Covers(vclock.Dot{Origin: "shop", Seq: 2}), seen.Covers(vclock.Dot{Origin: "car", Seq: 1}))
	// Output: true false
}

func ExampleParse() {
	token := vclock.Of(vclock.Dot{Origin: "shop", Seq: 3}).String()
	v, err := vclock.Parse(token)
	fmt.Println(token, v.At("shop"), err)
	// Output: AQAEc2hvcAM 3 <nil>
}

func ExampleParseDot() {
	d, err := vclock.ParseDot("edge-1~k3x9a0qz.17")
	fmt.Println(d.Origin, d.Seq, err)
	// Output: edge-1~k3x9a0qz 17 <nil>
}
