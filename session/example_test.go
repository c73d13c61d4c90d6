package session_test

import (
	"bytes"
	"fmt"
	"iter"
	"maps"
	"slices"
	"strings"

	"github.com/causeway-sync/causeway/clocksync"
	"github.com/causeway-sync/causeway/session"
	"github.com/causeway-sync/causeway/vclock"
)

// records is the smallest store that will do.
type records map[string][]byte

func (r records) Get(key []byte) ([]byte, error) { return r[string(key)], nil }
func (r records) Put(key, value []byte) error {
	r[string(key)] = append([]byte{}, value...)
	return nil
}
func (r records) Delete(key []byte) error { delete(r, string(key)); return nil }
func (r records) Scan(prefix, from []byte, reverse bool) iter.Seq2[session.Entry, error] {
	return func(yield func(session.Entry, error) bool) {
		keys := slices.Sorted(maps.Keys(r))
		if reverse {
			slices.Reverse(keys)
		}
		for _, k := range keys {
			c := bytes.Compare([]byte(k), from)
			if !strings.HasPrefix(k, string(prefix)) || from != nil && (c < 0 && !reverse || c > 0 && reverse) {
				continue
			}
			if !yield(session.Entry{Key: []byte(k), Value: r[k]}, nil) {
				return
			}
		}
	}
}

// site writes sessions and keeps the ops that it has.
type site struct {
	store records
	name  vclock.Origin
	made  []session.Op
}

func (s *site) write(do session.Action) {
	env := session.Env{
		Next: func() vclock.Dot { return vclock.Dot{Origin: s.name, Seq: vclock.Seq(len(s.made) + 1)} },
		Stamp: func(after clocksync.Stamp) (clocksync.Stamp, error) {
			next, _ := after.Next()
			return next, nil
		},
		Emit: func(op session.Op) error {
			s.made = append(s.made, op)
			return s.take(op)
		},
	}
	if _, err := session.Author(s.store, env, session.Command{Space: "default", Session: "s-81", Do: do}); err != nil {
		panic(err)
	}
}

// take applies an op and keeps its bytes.
func (s *site) take(op session.Op) error {
	done, err := session.Apply(s.store, op)
	if err != nil || done.Duplicate {
		return err
	}
	b, err := op.Append(nil)
	if err != nil {
		return err
	}
	return session.PutRecord(s.store, op.Space, op.Dot, session.Record{Slot: done.Slot, Bytes: b})
}

// Two sites write to one session while they cannot reach each other. After
// they have exchanged their ops they show the same.
func Example() {
	shop, car := &site{store: records{}, name: "shop~aaaaaaaa"}, &site{store: records{}, name: "car~bbbbbbbb"}
	shop.write(session.OpenSession{Context: []byte(`{"order":{"size":"M"}}`)})
	for _, op := range shop.made {
		_ = car.take(op)
	}
	shop.write(session.Append{Messages: []session.Draft{{Role: "user", Content: []byte(`"in the shop"`)}}})
	car.write(session.Append{Messages: []session.Draft{{Role: "user", Content: []byte(`"in the car"`)}}})
	shop.write(session.PatchContext{Patch: []byte(`{"order":{"size":"L"}}`)})
	car.write(session.PatchContext{Patch: []byte(`{"order":{"colour":"red"}}`)})
	for _, op := range slices.Concat(shop.made, car.made) {
		if shop.take(op) != nil || car.take(op) != nil {
			panic("not ready")
		}
	}
	for _, s := range []*site{shop, car} {
		doc, err := session.View(s.store, "default", "s-81")
		if err != nil {
			panic(err)
		}
		page, _, err := session.Messages(s.store, "default", "s-81", session.Query{})
		if err != nil {
			panic(err)
		}
		fmt.Printf("%s %s %s\n", doc.Context, page[0].Content, page[1].Content)
	}
	// Output:
	// {"order":{"colour":"red","size":"L"}} "in the car" "in the shop"
	// {"order":{"colour":"red","size":"L"}} "in the car" "in the shop"
}
