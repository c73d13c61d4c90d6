package config

import (
	"encoding"
	"errors"
	"flag"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"
)

// fields are the keys of one struct.
type fields struct {
	names []string // in the order of the struct
	index map[string]int
}

// fieldsOf reads the yaml tags of a struct; a field without one has its name
// in lower case, "-" hides it.
func fieldsOf(t reflect.Type) fields {
	f := fields{index: map[string]int{}}
	for i := range t.NumField() {
		sf := t.Field(i)
		name, _, _ := strings.Cut(sf.Tag.Get("yaml"), ",")
		if name == "-" || !sf.IsExported() {
			continue
		}
		if name == "" {
			name = strings.ToLower(sf.Name)
		}
		f.names = append(f.names, name)
		f.index[name] = i
	}
	return f
}

// Nearest says which known key was probably meant, as the end of a sentence
// that lists what would be right: the nearest one, or all of them.
func Nearest(key string, known []string) string {
	best, bestAt := "", max(2, len(key)/3)+1
	for _, k := range known {
		if d := distance(key, k); d < bestAt {
			best, bestAt = k, d
		}
	}
	if best == "" {
		sorted := slices.Sorted(slices.Values(known))
		return " (" + strings.Join(sorted, ", ") + ")"
	}
	return "; nearest is " + best
}

// distance is the number of insertions, deletions, substitutions and swaps of
// neighbours between two short words (optimal string alignment).
func distance(a, b string) int {
	before, prev := make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range prev {
		prev[j] = j
	}
	for i := 1; i <= len(a); i++ {
		row := make([]int, len(b)+1)
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			row[j] = min(prev[j]+1, row[j-1]+1, prev[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
		before, prev = prev, row
	}
	return prev[len(b)]
}

var errKind = errors.New("not a value of this kind")

// setText sets a scalar, or a list of scalars from text with commas.
func setText(v reflect.Value, s string) error {
	if isText(v) {
		return v.Addr().Interface().(encoding.TextUnmarshaler).UnmarshalText([]byte(s))
	}
	switch {
	case v.Kind() == reflect.String:
		v.SetString(s)
	case v.Kind() == reflect.Bool:
		switch s {
		case "true", "false":
			v.SetBool(s == "true")
		default:
			return errKind
		}
	case v.CanInt():
		n, err := strconv.ParseInt(s, 10, v.Type().Bits())
		if err != nil {
			return errKind
		}
		v.SetInt(n)
	case v.CanUint():
		n, err := strconv.ParseUint(s, 10, v.Type().Bits())
		if err != nil {
			return errKind
		}
		v.SetUint(n)
	case v.CanFloat():
		n, err := strconv.ParseFloat(s, v.Type().Bits())
		if err != nil {
			return errKind
		}
		v.SetFloat(n)
	default:
		return errKind
	}
	return nil
}

// ruleOf says what a value of the type looks like.
func ruleOf(t reflect.Type) string {
	switch t {
	case reflect.TypeFor[Bytes]():
		return "a size like 64MB"
	case reflect.TypeFor[Duration](), reflect.TypeFor[time.Duration]():
		return "a duration like 2s"
	}
	switch t.Kind() {
	case reflect.String:
		return "text"
	case reflect.Bool:
		return "true or false"
	case reflect.Slice:
		return "a list"
	case reflect.Float32, reflect.Float64:
		return "a number"
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return "a whole number"
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return "a whole number from 0"
	}
	return "a value of type " + t.String()
}

// Flags are the keys of a configuration given on the command line. They
// override the file: first [Load], then [Flags.Apply].
type Flags struct{ given []given }

type given struct{ path, text string }

// Bind adds a flag to fs for every key of the struct that into points to, by
// its path with dashes: --node, --core-timeout. Lists are written with commas. The values of
// into are shown as defaults and are not changed.
func Bind(fs *flag.FlagSet, into any) *Flags {
	f := &Flags{}
	f.bind(fs, "", reflect.ValueOf(into).Elem())
	return f
}

func (f *Flags) bind(fs *flag.FlagSet, path string, v reflect.Value) {
	for name, i := range ordered(fieldsOf(v.Type())) {
		at, fv := joinPath(path, name), v.Field(i)
		sf := v.Type().Field(i)
		switch {
		case isText(fv):
		case fv.Kind() == reflect.Struct:
			f.bind(fs, at, fv)
			continue
		case fv.Kind() == reflect.Map, fv.Kind() == reflect.Slice && fv.Type().Elem().Kind() == reflect.Struct:
			continue // a file says these better
		}
		usage := sf.Tag.Get("help")
		if usage == "" {
			usage = ruleOf(fv.Type())
		}
		if text := showText(fv); text != "" {
			usage += " (default " + text + ")"
		}
		set := func(s string) error { f.given = append(f.given, given{at, s}); return nil }
		flagName := strings.ReplaceAll(at, "_", "-")
		if fv.Kind() == reflect.Bool {
			fs.BoolFunc(flagName, usage, set)
		} else {
			fs.Func(flagName, usage, set)
		}
	}
}

// ordered yields keys in the order of the struct.
func ordered(f fields) func(yield func(string, int) bool) {
	return func(yield func(string, int) bool) {
		for _, name := range f.names {
			if !yield(name, f.index[name]) {
				return
			}
		}
	}
}

func showText(v reflect.Value) string {
	if v.IsZero() {
		return ""
	}
	if v.Kind() == reflect.Slice {
		parts := make([]string, v.Len())
		for i := range parts {
			parts[i] = fmt.Sprint(v.Index(i).Interface())
		}
		return strings.Join(parts, ",")
	}
	return fmt.Sprint(v.Interface())
}

// Apply sets what was given on the command line in the struct that into
// points to. The error joins one *FieldError per fault.
func (f *Flags) Apply(into any) error {
	var errs []error
	for _, g := range f.given {
		v := reflect.ValueOf(into).Elem()
		for key := range strings.SplitSeq(g.path, ".") {
			v = v.Field(fieldsOf(v.Type()).index[key])
		}
		if err := setFlag(v, g.text); err != nil {
			rule := ruleOf(v.Type())
			if v.Kind() == reflect.Slice {
				rule = "a list with commas between"
			}
			errs = append(errs, &FieldError{
				At: "--" + strings.ReplaceAll(g.path, "_", "-"), Path: g.path, Got: strconv.Quote(g.text), Rule: rule,
			})
		}
	}
	return errors.Join(errs...)
}

func setFlag(v reflect.Value, s string) error {
	if v.Kind() != reflect.Slice || isText(v) {
		return setText(v, s)
	}
	out := reflect.MakeSlice(v.Type(), 0, 0)
	for part := range strings.SplitSeq(s, ",") {
		if part = strings.TrimSpace(part); part == "" {
			continue
		}
		e := reflect.New(v.Type().Elem()).Elem()
		if err := setText(e, part); err != nil {
			return err
		}
		out = reflect.Append(out, e)
	}
	v.Set(out)
	return nil
}
