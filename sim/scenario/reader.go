package scenario

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/causeway-sync/causeway/internal/config"
)

// reader collects what is wrong with a file while its values are read.
type reader struct {
	faults []fault
	files  []string // in the order of reading, for sorting
}

// fault is an error with its place.
type fault struct {
	file string
	line int
	err  *config.FieldError
}

// fail notes that a value is not what it should be.
func (r *reader) fail(v *value, got, rule string) { r.failAt(v.file, v.line, v.path, got, rule) }

func (r *reader) failAt(file string, line int, path, got, rule string) {
	at := file
	if line > 0 {
		at += ":" + strconv.Itoa(line)
	}
	if path == "" {
		path = "file"
	}
	if !slices.Contains(r.files, file) {
		r.files = append(r.files, file)
	}
	r.faults = append(r.faults, fault{file, line, &config.FieldError{At: at, Path: path, Got: got, Rule: rule}})
}

// expect notes that a value is of the wrong form.
func (r *reader) expect(v *value, rule string) { r.fail(v, v.describe(), rule) }

// err joins all faults in the order of files and lines.
func (r *reader) err() error {
	slices.SortStableFunc(r.faults, func(a, b fault) int {
		return cmp.Or(cmp.Compare(slices.Index(r.files, a.file), slices.Index(r.files, b.file)), cmp.Compare(a.line, b.line))
	})
	errs := make([]error, len(r.faults))
	for i, f := range r.faults {
		errs[i] = f.err
	}
	return errors.Join(errs...)
}

// object is a mapping whose keys are known.
type object struct {
	*value
	keys map[string]*value // those with something behind them
	said map[string]int    // line of every known key that is there, also with nothing behind it
}

// at gives what stands behind a key, or nil.
func (o object) at(key string) *value { return o.keys[key] }

// has reports whether the key is there, perhaps with nothing behind it.
func (o object) has(key string) bool { return o.said[key] != 0 }

// near gives what stands behind a key, or else the whole mapping, as the place
// of an error.
func (o object) near(key string) *value {
	if v := o.keys[key]; v != nil {
		return v
	}
	return o.value
}

// object reads a mapping strictly: other keys than the known ones are faults.
func (r *reader) object(v *value, known ...string) object {
	o := object{v, map[string]*value{}, map[string]int{}}
	if v == nil {
		return o
	}
	if v.form != mapping {
		r.expect(v, "keys and values")
		return o
	}
	for _, p := range v.pairs {
		at := join(v.path, p.key)
		switch {
		case !slices.Contains(known, p.key):
			r.failAt(v.file, p.line, at, "an unknown key", "one of the known keys"+config.Nearest(p.key, known))
		case o.said[p.key] != 0:
			r.failAt(v.file, p.line, at, "the key twice", "it once")
		default:
			o.said[p.key] = p.line
			if p.value.form != absent {
				o.keys[p.key] = p.value
			}
		}
	}
	return o
}

// list gives the items of a list; nil has none.
func (r *reader) list(v *value) []*value {
	if v == nil {
		return nil
	}
	if v.form != list {
		r.expect(v, "a list")
		return nil
	}
	return v.items
}

// text reads any scalar as text.
func (r *reader) text(v *value, into *string) bool {
	if v == nil {
		return false
	}
	if v.form != scalar {
		r.expect(v, "text")
		return false
	}
	*into = v.text
	return true
}

// texts reads one text or a list of them.
func (r *reader) texts(v *value, into *[]string) {
	if v == nil {
		return
	}
	items := []*value{v}
	if v.form == list {
		items = v.items
	}
	out := make([]string, 0, len(items))
	for _, item := range items {
		var s string
		if r.text(item, &s) {
			out = append(out, s)
		}
	}
	if len(out) > 0 {
		*into = out
	}
}

// name is text that has a pattern.
func (r *reader) name(v *value, pattern *regexp.Regexp, rule string, into *string) {
	if s := ""; r.text(v, &s) {
		if !pattern.MatchString(s) {
			r.expect(v, rule)
			return
		}
		*into = s
	}
}

func (r *reader) boolean(v *value, into *bool) {
	if v == nil {
		return
	}
	if v.form != scalar || v.quoted || (v.text != "true" && v.text != "false") {
		r.expect(v, "true or false")
		return
	}
	*into = v.text == "true"
}

// count reads a whole number that is at least low.
func (r *reader) count(v *value, low int, into *int) {
	if v == nil {
		return
	}
	n, err := strconv.Atoi(v.text)
	if v.form != scalar || v.quoted || err != nil || n < low {
		r.expect(v, fmt.Sprintf("a whole number from %d", low))
		return
	}
	*into = n
}

// choice reads one of the words.
func (r *reader) choice(v *value, words []string, into *string) bool {
	if v == nil {
		return false
	}
	if v.form != scalar || !slices.Contains(words, v.text) {
		r.expect(v, oneOf(words))
		return false
	}
	*into = v.text
	return true
}

func oneOf(words []string) string {
	if len(words) == 1 {
		return words[0]
	}
	return strings.Join(words[:len(words)-1], ", ") + " or " + words[len(words)-1]
}

// duration reads a length of time that is not negative.
func (r *reader) duration(v *value, into *time.Duration) bool {
	if v == nil {
		return false
	}
	d, err := parseDuration(v.text)
	if v.form != scalar || err != nil || d < 0 {
		r.expect(v, "a duration from 0 like 30s, 1h30m or 30d")
		return false
	}
	*into = d
	return true
}

// shift reads a length of time that may be negative.
func (r *reader) shift(v *value, into *time.Duration) {
	if v == nil {
		return
	}
	d, err := parseDuration(v.text)
	if v.form != scalar || err != nil {
		r.expect(v, "a duration like 1h, -30s or 30d")
		return
	}
	*into = d
}

var errDuration = errors.New("not a duration")

// parseDuration reads what time.ParseDuration reads, after whole days: 30d,
// 1d12h, -2d.
func parseDuration(s string) (time.Duration, error) {
	digits, sign := s, time.Duration(1)
	if rest, ok := strings.CutPrefix(s, "-"); ok {
		digits, sign = rest, -1
	}
	whole, rest, found := strings.Cut(digits, "d")
	if !found {
		return time.ParseDuration(s)
	}
	const day = 24 * time.Hour
	n, err := strconv.ParseUint(whole, 10, 32)
	if err != nil || n > uint64(math.MaxInt64/day) {
		return 0, errDuration
	}
	total := time.Duration(n) * day
	if rest != "" {
		d, err := time.ParseDuration(rest)
		if err != nil || d < 0 || rest[0] == '+' || rest[0] == '-' || total+d < total {
			return 0, errDuration
		}
		total += d
	}
	return sign * total, nil
}

var numeral = regexp.MustCompile(`^[0-9]+(\.[0-9]+)?$`)

// percent reads "30%" as 0.3, rounded once.
func (r *reader) percent(v *value, into *float64) bool {
	if v == nil {
		return false
	}
	digits, found := strings.CutSuffix(v.text, "%")
	p, ok := fraction(strings.TrimSpace(digits))
	if v.form != scalar || !found || !ok {
		r.expect(v, "a percentage from 0% to 100%")
		return false
	}
	*into = p
	return true
}

// fraction turns the digits of a percentage into a number from 0 to 1.
func fraction(digits string) (float64, bool) {
	if !numeral.MatchString(digits) {
		return 0, false
	}
	p, err := strconv.ParseFloat(digits+"e-2", 64)
	return p, err == nil && p <= 1
}

// ppm reads parts per million: "50ppm", "-20ppm".
func (r *reader) ppm(v *value, into *float64) {
	if v == nil {
		return
	}
	digits, found := strings.CutSuffix(v.text, "ppm")
	digits = strings.TrimSpace(digits)
	p, err := strconv.ParseFloat(digits, 64)
	if v.form != scalar || !found || !numeral.MatchString(strings.TrimPrefix(digits, "-")) || err != nil {
		r.expect(v, "parts per million like 50ppm or -20ppm")
		return
	}
	*into = p
}

// size reads a number of bytes: "64KB"; "none" is 0.
func (r *reader) size(v *value, into *int) {
	if v == nil {
		return
	}
	if n, ok := parseSize(v.text); v.form == scalar && ok {
		*into = n
		return
	}
	r.expect(v, "a size like 64KB, or none")
}

func parseSize(s string) (int, bool) {
	if s == "none" {
		return 0, true
	}
	var b config.Bytes
	err := b.UnmarshalText([]byte(s))
	return int(b), err == nil && b > 0
}

// rate reads bytes per second: "64kbit" is 8,000, "8KB/s" too; "none" is 0.
func (r *reader) rate(v *value, into *int) {
	if v == nil {
		return
	}
	if v.form == scalar {
		if digits, ok := strings.CutSuffix(v.text, "/s"); ok && digits != "none" {
			if n, ok := parseSize(strings.TrimSpace(digits)); ok {
				*into = n
				return
			}
		}
		if n, ok := bitRate(v.text); ok {
			*into = n
			return
		}
		if v.text == "none" {
			*into = 0
			return
		}
	}
	r.expect(v, "a rate like 64kbit or 8KB/s, or none")
}

// rateUnits are tc's units of bits, the longer suffix first.
var rateUnits = []struct {
	suffix string
	bits   uint64
}{{"tbit", 1e12}, {"gbit", 1e9}, {"mbit", 1e6}, {"kbit", 1e3}, {"bit", 1}}

// bitRate reads a whole number of bits per second as bytes per second. Less
// than one byte is no rate.
func bitRate(s string) (int, bool) {
	for _, u := range rateUnits {
		if digits, ok := strings.CutSuffix(s, u.suffix); ok {
			n, err := strconv.ParseUint(strings.TrimSpace(digits), 10, 64)
			if err != nil || n > math.MaxInt64/u.bits {
				return 0, false
			}
			return int(n * u.bits / 8), n*u.bits >= 8
		}
	}
	return 0, false
}

// adopt takes the faults of another file's syntax.
func (r *reader) adopt(file string, err error) {
	fe, ok := errors.AsType[*config.FieldError](err)
	if !ok {
		fe = &config.FieldError{At: file, Path: "yaml", Got: err.Error(), Rule: "valid YAML"}
	}
	if !slices.Contains(r.files, file) {
		r.files = append(r.files, file)
	}
	r.faults = append(r.faults, fault{file, 0, fe})
}
