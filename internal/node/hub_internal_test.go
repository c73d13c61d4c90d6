package node

import "testing"

// TestHubForgets has waiters come and go: what nobody waits for is not kept.
func TestHubForgets(t *testing.T) {
	t.Parallel()
	var h hub
	one := topic{"default", "s"}
	first, leaveFirst := h.wait(one)
	second, leaveSecond := h.wait(one)
	leaveFirst()
	h.notify("default", "s")
	for _, changed := range []<-chan struct{}{first, second} {
		select {
		case <-changed:
		default:
			t.Error("a waiter was not woken")
		}
	}
	_, leaveThird := h.wait(one)
	leaveSecond() // of the topic's earlier life
	if len(h.topics) != 1 {
		t.Errorf("%d topics while one is waited for", len(h.topics))
	}
	leaveThird()
	if len(h.topics) != 0 {
		t.Errorf("%d topics that nobody waits for", len(h.topics))
	}
}
