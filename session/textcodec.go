package session

import (
	"fmt"

	"github.com/causeway-sync/causeway/conflict/text"
)

func appendTextEdit(b []byte, x *TextEdit) []byte {
	size := sizeText(1, x.Name)
	for i := range x.Edits {
		size += sizeHead(2, sizePiece(&x.Edits[i]))
	}
	b = appendHead(b, fieldTextEdit, size)
	b = appendText(b, 1, x.Name)
	for i := range x.Edits {
		e := &x.Edits[i]
		b = appendHead(b, 2, sizePiece(e))
		b = appendNumber(b, 1, uint64(e.Pos))
		b = appendNumber(b, 2, uint64(e.Del))
		b = appendText(b, 3, e.Ins)
	}
	return b
}

func sizePiece(e *text.Edit) int {
	return sizeNumber(1, uint64(e.Pos)) + sizeNumber(2, uint64(e.Del)) + sizeText(3, e.Ins)
}

func (f *fields) textEdit() TextEdit {
	x := TextEdit{}
	for f.next() {
		switch f.number {
		case 1:
			x.Name = f.text(MaxNameBytes)
		case 2:
			if len(x.Edits) >= MaxTextEdits {
				f.fail(fmt.Errorf("more than %d edits: %w", MaxTextEdits, ErrMalformed))
				return x
			}
			x.Edits = append(x.Edits, f.piece())
		}
	}
	return x
}

func (f *fields) piece() text.Edit {
	g := fields{rest: f.bytes(MaxTextInsert + 32)}
	var e text.Edit
	for g.next() {
		switch g.number {
		case 1:
			e.Pos = int(g.uint(text.MaxPos))
		case 2:
			e.Del = int(g.uint(MaxTextDelete))
		case 3:
			e.Ins = g.text(MaxTextInsert)
		}
	}
	f.fail(g.err)
	return e
}
