package protocol

import (
	"fmt"

	"google.golang.org/protobuf/encoding/protowire"
)

// eachNested calls do for every message in field num of b, at most most times.
func eachNested(b []byte, num protowire.Number, most int, do func([]byte) error) error {
	count := 0
	return eachField(b, func(v field) error {
		if v.num != num {
			return nil
		}
		if count++; count > most {
			return fmt.Errorf("field %d more than %d times: %w", num, most, ErrTooBig)
		}
		data, err := v.bytes()
		if err != nil {
			return err
		}
		return do(data)
	})
}

// fields calls do for every field of the message that f holds.
func (f field) fields(do func(field) error) error {
	data, err := f.bytes()
	if err != nil {
		return err
	}
	return eachField(data, do)
}

func (f field) feed() (Feed, error) {
	var feed Feed
	err := f.fields(func(v field) (err error) {
		switch v.num {
		case 1:
			feed.Space, err = v.name()
		case 2:
			feed.Origin, err = v.origin()
		}
		return err
	})
	return feed, err
}

func (f field) head() (Head, error) {
	var h Head
	err := f.fields(func(v field) (err error) {
		switch v.num {
		case 1:
			h.Seq, err = v.seq()
		case 2:
			h.Chain, err = v.chain()
		}
		return err
	})
	return h, err
}

func (f field) originHeads(list []OriginHead, most int) ([]OriginHead, error) {
	if len(list) >= most {
		return list, fmt.Errorf("more than %d feeds: %w", most, ErrTooBig)
	}
	var h OriginHead
	err := f.fields(func(v field) (err error) {
		switch v.num {
		case 1:
			h.Origin, err = v.origin()
		case 2:
			h.Seq, err = v.seq()
		case 3:
			h.Chain, err = v.chain()
		}
		return err
	})
	return append(list, h), err
}

func (f field) spaceHeads(most int) (SpaceHeads, error) {
	var s SpaceHeads
	err := f.fields(func(v field) (err error) {
		switch v.num {
		case 1:
			s.Space, err = v.name()
		case 2:
			s.Feeds, err = v.originHeads(s.Feeds, most)
		}
		return err
	})
	return s, err
}

func (f field) spaceState(most int) (SpaceState, error) {
	var s SpaceState
	err := f.fields(func(v field) (err error) {
		switch v.num {
		case 1:
			s.Space, err = v.name()
		case 2:
			var state FeedState
			if len(s.Feeds) >= most {
				return fmt.Errorf("more than %d feeds: %w", most, ErrTooBig)
			}
			state, err = v.feedState()
			s.Feeds = append(s.Feeds, state)
		}
		return err
	})
	return s, err
}

func (f field) feedState() (FeedState, error) {
	var s FeedState
	common := false
	err := f.fields(func(v field) (err error) {
		switch v.num {
		case 1:
			s.Origin, err = v.origin()
		case 2:
			s.Head, err = v.head()
		case 3:
			common = true
			s.Common, err = v.head()
		case 4:
			s.Floor, err = v.seq()
		}
		return err
	})
	if !common {
		s.Common = s.Head
	}
	return s, err
}

// snapshot reads the fields that all snapshot messages begin with.
func (f field) snapshot(attachment, n *uint64, space *string) (err error) {
	switch f.num {
	case 1:
		*attachment, err = f.fixed64()
	case 2:
		*n, err = f.uint()
	case 3:
		*space, err = f.name()
	}
	return err
}

func (f field) pair() (Pair, error) {
	var p Pair
	err := f.fields(func(v field) (err error) {
		switch v.num {
		case 1:
			p.Key, err = v.bytes()
		case 2:
			p.Value, err = v.bytes()
		}
		return err
	})
	return p, err
}
