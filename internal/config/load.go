package config

import (
	"encoding"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"strconv"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"
)

// maxFileBytes bounds a configuration file.
const maxFileBytes = 1 << 20

// Load reads the YAML file at path into the struct into, strictly. Keys that
// the file lacks keep their values. The error joins one *FieldError per fault;
// an unreadable file gives that error alone.
func Load[T any](path string, into *T) error {
	f, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("read configuration: %w", err)
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxFileBytes+1))
	if err != nil {
		return fmt.Errorf("read configuration: %w", err)
	}
	if len(text) > maxFileBytes {
		return fmt.Errorf("read configuration %s: more than %d bytes", path, maxFileBytes)
	}
	return Parse(filepath.Base(path), text, into)
}

// Parse is [Load] of text; name stands for the file in errors.
func Parse[T any](name string, text []byte, into *T) error {
	file, err := parser.ParseBytes(text, 0)
	if err != nil {
		return SyntaxError(name, err)
	}
	d := &decoder{name: name}
	for i, doc := range file.Docs {
		if doc.Body == nil {
			continue // empty, or nothing but comments
		}
		if i > 0 {
			d.fail(doc.Body, "", "a second document", "one document")
			break
		}
		d.decode(doc.Body, "", reflect.ValueOf(into).Elem())
	}
	return errors.Join(d.errs...)
}

// SyntaxError turns an error of the YAML parser into a *FieldError that names
// the line it stumbled over.
func SyntaxError(name string, err error) error {
	at := name
	var tokenError interface {
		GetToken() *token.Token
		GetMessage() string
	}
	if errors.As(err, &tokenError) {
		if tk := tokenError.GetToken(); tk != nil && tk.Position != nil {
			at += ":" + strconv.Itoa(tk.Position.Line)
		}
		return &FieldError{At: at, Path: "yaml", Got: tokenError.GetMessage(), Rule: "valid YAML"}
	}
	return fmt.Errorf("%s: %w", name, err)
}

// decoder walks the syntax tree beside the Go value, so that every fault is
// found and has a line.
type decoder struct {
	name string
	errs []error
}

func (d *decoder) fail(n ast.Node, path, got, rule string) {
	at := d.name
	if tk := n.GetToken(); tk != nil && tk.Position != nil {
		at += ":" + strconv.Itoa(tk.Position.Line)
	}
	if path == "" {
		path = "file"
	}
	d.errs = append(d.errs, &FieldError{At: at, Path: path, Got: got, Rule: rule})
}

func (d *decoder) decode(n ast.Node, path string, v reflect.Value) {
	switch n.(type) {
	case *ast.NullNode:
		return // "key:" with nothing behind it keeps the default
	case *ast.AnchorNode, *ast.AliasNode, *ast.TagNode:
		d.fail(n, path, "an anchor, alias or tag", "a plain value")
		return
	}
	if isText(v) {
		d.scalar(n, path, v)
		return
	}
	switch v.Kind() {
	case reflect.Struct:
		d.structure(n, path, v)
	case reflect.Slice:
		d.sequence(n, path, v)
	case reflect.Map:
		d.mapping(n, path, v)
	default:
		d.scalar(n, path, v)
	}
}

// pairs gives the members of a mapping node.
func pairs(n ast.Node) ([]*ast.MappingValueNode, bool) {
	switch n := n.(type) {
	case *ast.MappingNode:
		return n.Values, true
	case *ast.MappingValueNode:
		return []*ast.MappingValueNode{n}, true
	}
	return nil, false
}

func (d *decoder) structure(n ast.Node, path string, v reflect.Value) {
	values, ok := pairs(n)
	if !ok {
		d.fail(n, path, describe(n), "keys and values")
		return
	}
	fields := fieldsOf(v.Type())
	seen := map[string]bool{}
	for _, kv := range values {
		key := keyText(kv)
		at := joinPath(path, key)
		i, known := fields.index[key]
		switch {
		case !known:
			d.fail(kv.Key, at, "an unknown key", "one of the known keys"+Nearest(key, fields.names))
		case seen[key]:
			d.fail(kv.Key, at, "the key twice", "it once")
		default:
			d.decode(kv.Value, at, v.Field(i))
		}
		seen[key] = true
	}
}

func (d *decoder) sequence(n ast.Node, path string, v reflect.Value) {
	seq, ok := n.(*ast.SequenceNode)
	if !ok {
		d.fail(n, path, describe(n), "a list")
		return
	}
	out := reflect.MakeSlice(v.Type(), len(seq.Values), len(seq.Values))
	for i, e := range seq.Values {
		d.decode(e, fmt.Sprintf("%s[%d]", path, i), out.Index(i))
	}
	v.Set(out)
}

func (d *decoder) mapping(n ast.Node, path string, v reflect.Value) {
	values, ok := pairs(n)
	if !ok {
		d.fail(n, path, describe(n), "keys and values")
		return
	}
	out := reflect.MakeMap(v.Type())
	for _, kv := range values {
		key := keyText(kv)
		k := reflect.ValueOf(key).Convert(v.Type().Key())
		if out.MapIndex(k).IsValid() {
			d.fail(kv.Key, joinPath(path, key), "the key twice", "it once")
			continue
		}
		e := reflect.New(v.Type().Elem()).Elem()
		d.decode(kv.Value, joinPath(path, key), e)
		out.SetMapIndex(k, e)
	}
	v.Set(out)
}

func (d *decoder) scalar(n ast.Node, path string, v reflect.Value) {
	s, ok := scalarText(n)
	if !ok {
		d.fail(n, path, describe(n), ruleOf(v.Type()))
		return
	}
	_, quoted := n.(*ast.StringNode)
	if v.Kind() == reflect.Bool || (isNumber(v) && !isText(v)) {
		if quoted {
			d.fail(n, path, describe(n), ruleOf(v.Type()))
			return
		}
	}
	if err := setText(v, s); err != nil {
		d.fail(n, path, describe(n), ruleOf(v.Type()))
	}
}

// scalarText gives a scalar as it was written.
func scalarText(n ast.Node) (string, bool) {
	switch n := n.(type) {
	case *ast.StringNode:
		return n.Value, true
	case *ast.LiteralNode:
		return n.Value.Value, true
	case *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode, *ast.InfinityNode, *ast.NanNode:
		return n.GetToken().Value, true
	}
	return "", false
}

func keyText(kv *ast.MappingValueNode) string {
	if s, ok := scalarText(kv.Key); ok {
		return s
	}
	return kv.Key.String()
}

func describe(n ast.Node) string {
	if s, ok := scalarText(n); ok {
		if len(s) > 60 {
			s = s[:60] + "…"
		}
		return strconv.Quote(s)
	}
	if _, ok := pairs(n); ok {
		return "keys and values"
	}
	if _, ok := n.(*ast.SequenceNode); ok {
		return "a list"
	}
	return n.Type().String()
}

func joinPath(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}

// isText reports whether v reads itself from text, as Bytes and Duration do.
func isText(v reflect.Value) bool {
	if !v.CanAddr() {
		return false
	}
	_, ok := v.Addr().Interface().(encoding.TextUnmarshaler)
	return ok
}

func isNumber(v reflect.Value) bool { return v.CanInt() || v.CanUint() || v.CanFloat() }
