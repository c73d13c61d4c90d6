package httpapi

import (
	"math"
	"strconv"
)

// view reads how messages are to be shown.
func (q *query) view(mq *MessageQuery) {
	view := q.oneOf("view", "linear", "tree", "model")
	mq.Tree, mq.Model = view == "tree", view == "model"
	byDefault := []string{"false", "true"}
	if mq.Model {
		byDefault = []string{"true", "false"}
	}
	mq.Repair = q.oneOf("repair", byDefault...) == "true"
	mq.Last, mq.Tokens = q.number("last"), q.number("tokens")
	switch {
	case mq.Tree && mq.Repair:
		q.fail("repair", "another view than tree")
	case mq.Model && mq.After != "":
		q.fail("after", "before: this view is of the last turns")
	case !mq.Model && mq.Last != 0:
		q.fail("last", "view=model beside it")
	case !mq.Model && mq.Tokens != 0:
		q.fail("tokens", "view=model beside it")
	}
	if mq.Last > MaxPage || mq.Last == 0 && mq.Tokens != 0 {
		mq.Last = MaxPage
	}
}

// number gives a parameter that counts something, 0 if it is absent.
func (q *query) number(name string) int {
	s := q.values.Get(name)
	if s == "" {
		return 0
	}
	n, err := strconv.ParseUint(s, 10, 64)
	if err != nil || n == 0 {
		q.fail(name, "a number from 1")
	}
	return int(min(n, math.MaxInt32))
}
