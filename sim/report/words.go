package report

import (
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// span says how long something takes: "840 ms", "3.2 s", "14 min 22 s", "30 d".
func span(d time.Duration) string {
	switch {
	case d < 0:
		return "−" + span(-d)
	case d == 0:
		return "0 s"
	case d < time.Millisecond:
		return trim(float64(d)/1e3, 1) + " µs"
	case d < 100*time.Millisecond:
		return trim(float64(d)/1e6, 1) + " ms"
	case d < time.Second:
		return trim(float64(d)/1e6, 0) + " ms"
	case d < 10*time.Second:
		return trim(d.Seconds(), 2) + " s"
	case d < time.Minute:
		return trim(d.Seconds(), 1) + " s"
	case d < time.Hour:
		return pair(d, time.Minute, "min", time.Second, "s")
	case d < 24*time.Hour:
		return pair(d, time.Hour, "h", time.Minute, "min")
	default:
		return pair(d, 24*time.Hour, "d", time.Hour, "h")
	}
}

// pair says d in a large and a small unit, the small one only if there is any.
func pair(d, large time.Duration, largeName string, small time.Duration, smallName string) string {
	d = d.Round(small)
	text := strconv.FormatInt(int64(d/large), 10) + " " + largeName
	if rest := d % large / small; rest > 0 {
		text += " " + strconv.FormatInt(int64(rest), 10) + " " + smallName
	}
	return text
}

// moment says when in the run something is: "3.204s", "14m 22.480s", "5m 00s",
// "29d 04h 02m 03s".
func moment(d time.Duration) string {
	return strings.Replace(fineMoment(d), ".000s", "s", 1)
}

func fineMoment(d time.Duration) string {
	seconds := d.Seconds()
	days, hours, minutes := int(d.Hours())/24, int(d.Hours())%24, int(d.Minutes())%60
	switch {
	case d < 0:
		return "−" + fineMoment(-d)
	case d < time.Minute:
		return fmt.Sprintf("%.3fs", seconds)
	case d < time.Hour:
		return fmt.Sprintf("%dm %06.3fs", minutes, seconds-float64(minutes)*60)
	case d < 24*time.Hour:
		return fmt.Sprintf("%dh %02dm %04.1fs", hours, minutes, (d % time.Minute).Seconds())
	default:
		return fmt.Sprintf("%dd %02dh %02dm %02ds", days, hours, minutes, int(d.Seconds())%60)
	}
}

// trim writes v with at most so many digits behind the point.
func trim(v float64, digits int) string {
	text := strconv.FormatFloat(v, 'f', digits, 64)
	if strings.Contains(text, ".") {
		text = strings.TrimRight(strings.TrimRight(text, "0"), ".")
	}
	return text
}

// percent says a chance from 0 to 1 with three significant digits.
func percent(p float64) string {
	switch v := p * 100; {
	case v == 0:
		return "0 %"
	case v < 0.0005:
		return strconv.FormatFloat(v, 'e', 1, 64) + " %"
	case v < 0.1:
		return trim(v, 4) + " %"
	case v < 10:
		return trim(v, 2) + " %"
	default:
		return trim(v, 1) + " %"
	}
}

// rateOf says bytes per second.
func rateOf(bytes int) string {
	switch {
	case bytes >= 1_000_000:
		return trim(float64(bytes)/1e6, 1) + " MB/s"
	case bytes >= 1_000:
		return trim(float64(bytes)/1e3, 1) + " kB/s"
	default:
		return strconv.Itoa(bytes) + " B/s"
	}
}

// number writes n with a thin space between groups of three digits.
func number[T int | int64 | uint64](n T) string {
	text := fmt.Sprint(n)
	sign := ""
	if strings.HasPrefix(text, "-") {
		sign, text = "−", text[1:]
	}
	var groups []string
	for len(text) > 3 {
		groups = append([]string{text[len(text)-3:]}, groups...)
		text = text[:len(text)-3]
	}
	return sign + strings.Join(append([]string{text}, groups...), "\u2009")
}

// many writes a number and the right form of a noun.
func many(n int, one, more string) string {
	if n == 1 {
		return "1 " + one
	}
	return number(n) + " " + more
}

// list names some and counts the rest: "a, b and 997 others".
func list(names []string, most int) string {
	switch n := len(names); {
	case n == 0:
		return ""
	case n == 1:
		return names[0]
	case n <= most:
		return strings.Join(names[:n-1], ", ") + " and " + names[n-1]
	default:
		return strings.Join(names[:most-1], ", ") + " and " + number(n-most+1) + " others"
	}
}

// clip shortens text to at most so many characters and mends broken UTF-8.
func clip(text string, most int) string {
	if long := utf8.UTFMax * (most + 1); len(text) > long {
		text = text[:long] // the cut is behind what is kept
	}
	text = strings.ToValidUTF8(text, "\ufffd")
	if len(text) <= most || utf8.RuneCountInString(text) <= most {
		return text
	}
	end := 0
	for range most - 1 {
		_, size := utf8.DecodeRuneInString(text[end:])
		end += size
	}
	return text[:end] + "…"
}

// micros gives d as the page's script counts time.
func micros(d time.Duration) int64 { return d.Microseconds() }
