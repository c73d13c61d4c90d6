package main

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/causeway-sync/causeway/internal/apiclient"
)

const defaultNode = "http://127.0.0.1:7101"

// nodeFlags are the flags of every command that talks to a node.
type nodeFlags struct{ node, space string }

func (n *nodeFlags) bind(fs *flag.FlagSet) {
	fs.StringVar(&n.node, "node", defaultNode, "address of the node's API")
}

func (n *nodeFlags) bindSpace(fs *flag.FlagSet) {
	n.bind(fs)
	fs.StringVar(&n.space, "space", "default", "space")
}

// client dials nothing yet; conns is how many calls there are at a time.
func (n *nodeFlags) client(conns int) (*apiclient.Client, error) {
	c, err := apiclient.New(n.node, conns)
	if err != nil {
		return nil, usageError{err}
	}
	return c, nil
}

// printJSON writes v as one line of JSON, as it is for programs.
func printJSON(w io.Writer, v any) error {
	b, err := encodeJSON(v)
	if err != nil {
		return err
	}
	_, err = w.Write(append(b, '\n'))
	return err
}

// encodeJSON is json.Marshal without the escapes for HTML.
func encodeJSON(v any) ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return nil, fmt.Errorf("encode JSON: %w", err)
	}
	return bytes.TrimRight(b.Bytes(), "\n"), nil
}

// printTime shows a time in the reader's zone, to the second.
func printTime(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return t.Local().Format("2006-01-02 15:04:05")
}

// plain keeps text from a conversation or a peer from driving the terminal.
func plain(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' && r != '\n' && r != '\t' || r == 0x7f || (0x80 <= r && r < 0xa0) {
			return '�'
		}
		return r
	}, s)
}
