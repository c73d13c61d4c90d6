package drive_test

import (
	"fmt"

	"github.com/causeway-sync/causeway/internal/store/memstore"
	"github.com/causeway-sync/causeway/protocol/drive"
	"github.com/causeway-sync/causeway/protocol/replica"
	"github.com/causeway-sync/causeway/session"
)

// A node opens its store, writes, and tells the edge half what it holds.
func Example() {
	disk := memstore.New()
	id := drive.Identity{Node: "edge-1", Cluster: "main", Epoch: func() (string, error) { return "k3x9a0qz", nil }}
	err := disk.Update(func(tx session.Tx) error {
		origin, err := drive.Adopt(tx, id, false)
		if err != nil {
			return err
		}
		rep, err := replica.Open(tx, origin)
		if err != nil {
			return err
		}
		cmd := session.Command{Space: "shop", Session: "s", Do: session.OpenSession{}}
		_, err = drive.Write(tx, rep, replica.Now{Wall: 1}, cmd)
		return err
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	err = disk.View(func(r session.Reader) error {
		heads, err := drive.EdgeStart(r)
		for _, h := range heads {
			fmt.Println(h.Space, h.Origin, "up to", h.Seq, "released", h.Released)
		}
		return err
	})
	if err != nil {
		fmt.Println(err)
	}
	// Output: shop edge-1~k3x9a0qz up to 1 released 0
}
