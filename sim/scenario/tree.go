package scenario

import (
	"fmt"
	"strconv"
	"unicode/utf8"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"

	"github.com/causeway-sync/causeway/internal/config"
)

// maxDepth bounds how deep a file may nest; ours need eight levels.
const maxDepth = 40

// form is what a value of a file looks like.
type form uint8

const (
	absent form = iota // "key:" with nothing behind it
	scalar
	mapping
	list
	strange // anchors, aliases, tags
)

// value is one value of a file, with its place.
type value struct {
	file   string
	line   int
	path   string // "faults[2].for"
	form   form
	text   string // of a scalar, as written, without quotes
	quoted bool
	pairs  []pair
	items  []*value
}

// pair is one key of a mapping with what stands behind it.
type pair struct {
	key   string
	line  int
	value *value
}

// parse reads the documents of a file. Empty ones are left out.
func parse(name string, text []byte) (docs []*value, err error) {
	if !utf8.Valid(text) {
		return nil, &config.FieldError{At: name, Path: "file", Got: "bytes that are no UTF-8", Rule: "text"}
	}
	defer func() {
		// The parser is not ours and has panicked on garbage in earlier versions.
		if p := recover(); p != nil {
			docs, err = nil, &config.FieldError{At: name, Path: "yaml", Got: fmt.Sprint(p), Rule: "valid YAML"}
		}
	}()
	file, err := parser.ParseBytes(text, 0, parser.AllowDuplicateMapKey())
	if err != nil {
		return nil, config.SyntaxError(name, err)
	}
	for _, doc := range file.Docs {
		if doc.Body == nil {
			continue
		}
		docs = append(docs, grow(name, "", doc.Body, 0))
	}
	return docs, nil
}

// grow turns a node of the syntax tree into a value.
func grow(file, path string, n ast.Node, depth int) *value {
	v := &value{file: file, path: path, line: lineOf(n)}
	if depth > maxDepth {
		v.form = strange
		return v
	}
	switch n := n.(type) {
	case nil, *ast.NullNode:
		v.form = absent
	case *ast.StringNode:
		v.form, v.text, v.quoted = scalar, n.Value, true
	case *ast.LiteralNode:
		v.form, v.text, v.quoted = scalar, n.Value.Value, true
	case *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode, *ast.InfinityNode, *ast.NanNode:
		v.form, v.text = scalar, n.GetToken().Value
	case *ast.SequenceNode:
		v.form = list
		for i, item := range n.Values {
			v.items = append(v.items, grow(file, fmt.Sprintf("%s[%d]", path, i), item, depth+1))
		}
	case *ast.MappingNode:
		v.form = mapping
		for _, kv := range n.Values {
			v.pairs = append(v.pairs, growPair(file, path, kv, depth))
		}
	case *ast.MappingValueNode:
		v.form, v.pairs = mapping, []pair{growPair(file, path, n, depth)}
	default:
		v.form = strange
	}
	return v
}

func growPair(file, path string, kv *ast.MappingValueNode, depth int) pair {
	key := kv.Key.String()
	if k := grow(file, path, kv.Key, depth+1); k.form == scalar {
		key = k.text
	}
	p := pair{key: key, line: lineOf(kv.Key), value: grow(file, join(path, key), kv.Value, depth+1)}
	if p.value.line == 0 || p.value.form == absent {
		p.value.line = p.line
	}
	return p
}

func lineOf(n ast.Node) int {
	switch n := n.(type) {
	case nil:
		return 0
	case *ast.MappingNode: // its own token is the first colon or the brace
		if len(n.Values) > 0 && !n.IsFlowStyle {
			return lineOf(n.Values[0].Key)
		}
	case *ast.MappingValueNode:
		return lineOf(n.Key)
	}
	if tk := n.GetToken(); tk != nil && tk.Position != nil {
		return tk.Position.Line
	}
	return 0
}

func join(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}

// describe says what was found, for errors.
func (v *value) describe() string {
	switch v.form {
	case absent:
		return "nothing"
	case scalar:
		if len(v.text) > 60 {
			return strconv.Quote(v.text[:60] + "…")
		}
		return strconv.Quote(v.text)
	case mapping:
		return "keys and values"
	case list:
		return "a list"
	}
	return "an anchor, alias, tag or endless nesting"
}
