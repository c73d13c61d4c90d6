package node

import "testing"

// TestHub has watchers come and go: each is told of its own topic and of no
// other, and what nobody watches is not kept.
func TestHub(t *testing.T) {
	t.Parallel()
	var h hub
	counts := map[string]int{}
	watch := func(name string, at topic) func() { return h.watch(at, func() { counts[name]++ }) }
	stopFirst := watch("first", topic{"default", "s"})
	stopSecond := watch("second", topic{"default", "s"})
	stopSpace := watch("space", topic{space: "default"})
	stopOther := watch("other", topic{"default", "other"})
	h.notify("default", "s")
	stopFirst()
	h.notify("default", "s", "unwatched")
	h.notify("elsewhere", "s")
	h.notifyAll("default")
	want := map[string]int{"first": 1, "second": 3, "space": 3, "other": 1}
	for name, n := range want {
		if counts[name] != n {
			t.Errorf("%s was told %d times, want %d", name, counts[name], n)
		}
	}
	for _, stop := range []func(){stopSecond, stopSpace, stopOther} {
		stop()
	}
	if len(h.topics) != 0 {
		t.Errorf("%d topics that nobody watches", len(h.topics))
	}
}
