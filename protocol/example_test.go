package protocol_test

import (
	"fmt"
	"math/rand/v2"

	"github.com/causeway-sync/causeway/protocol"
)

// An edge half is driven by inputs and answers with work: here it is told that
// an op is durable and that the link is up, and asks where the stream is.
func ExampleEdge_Step() {
	cfg := protocol.DefaultEdgeConfig()
	cfg.Node, cfg.Cluster, cfg.Instance, cfg.Origin = "edge-1", "main", "p1", "edge-1~a"
	cfg.StoresRequired, cfg.UploadOnly = 1, true
	e, err := protocol.NewEdge(cfg, rand.New(rand.NewPCG(1, 1)))
	if err != nil {
		fmt.Println(err)
		return
	}
	feed := protocol.Feed{Space: "default", Origin: "edge-1~a"}
	frame := protocol.NewFrame(feed, protocol.Head{}, [][]byte{[]byte("an op")})
	receipt := protocol.Receipt{Feed: feed, Head: frame.Head(), Store: "core-1", Incarnation: "s1"}
	for i, in := range []protocol.EdgeInput{
		protocol.Persisted{Feed: feed, Head: frame.Head()},
		protocol.LinkUp{},
		protocol.SubjectHead{Feed: feed, Attempt: 1},
		protocol.Published{Feed: feed, Attempt: 2, Head: frame.Head(), StreamSeq: 1},
		protocol.Received{From: "core-1", Message: protocol.Receipts{Receipts: []protocol.Receipt{receipt}}},
	} {
		out, err := e.Step(protocol.Instant(i), in)
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Printf("%T: ask %d, publish %d, acked %d, released %d\n",
			in, len(out.Ask), len(out.Publish), len(out.Acked), len(out.Released))
	}
	// Output:
	// protocol.Persisted: ask 0, publish 0, acked 0, released 0
	// protocol.LinkUp: ask 1, publish 0, acked 0, released 0
	// protocol.SubjectHead: ask 0, publish 1, acked 0, released 0
	// protocol.Published: ask 0, publish 0, acked 1, released 0
	// protocol.Received: ask 0, publish 0, acked 0, released 1
}

// A frame carries its own proof: ops, hashes and chains must agree.
func ExampleDecodeFrame() {
	feed := protocol.Feed{Space: "default", Origin: "edge-1~a"}
	frame := protocol.NewFrame(feed, protocol.Head{}, [][]byte{[]byte("one"), []byte("two")})
	b, err := protocol.AppendFrame(nil, &frame, protocol.Zstd)
	if err != nil {
		fmt.Println(err)
		return
	}
	b[20] ^= 1
	_, err = protocol.DecodeFrame(b)
	fmt.Println(err)
	// Output:
	// frame   from 0: protocol: checksum differs
}
