package libpod

import (
	"bytes"
	"encoding/json"
	"errors"
	"time"
	"unicode/utf8"
)

var errNoRecord = errors.New("no record")

// parseK8s reads "TIME STREAM F|P LINE".
func parseK8s(b []byte, o *LogOptions) (l LogLine, err error) {
	stamp, rest, _ := bytes.Cut(b, []byte(" "))
	stream, rest, _ := bytes.Cut(rest, []byte(" "))
	if len(rest) < 2 || rest[1] != ' ' || len(stamp) < len("2006-01-02T15:04:05Z") || stamp[0] < '0' || stamp[0] > '9' {
		return l, errNoRecord
	}
	if o.times() {
		if err := l.Time.UnmarshalText(stamp); err != nil {
			return l, err
		}
	}
	l.Stderr, l.Partial, l.Text = string(stream) == "stderr", rest[0] == 'P', rest[2:]
	return l, nil
}

// parseJSON reads a record of json-file, Docker's or proa's.
func parseJSON(b []byte, o *LogOptions) (LogLine, error) {
	if l, ok := parsePlainJSON(b, o); ok {
		return l, nil
	}
	var v struct {
		Log, Stream string
		Raw         []byte // the line as it was, if it was no text
		Attrs       map[string]string
		Time        time.Time
	}
	if err := json.Unmarshal(b, &v); err != nil {
		return LogLine{}, err
	}
	text := v.Raw
	if text == nil {
		text = []byte(v.Log)
	}
	text, whole := bytes.CutSuffix(text, []byte("\n"))
	return LogLine{Time: v.Time, Stderr: v.Stream == "stderr", Partial: !whole, Text: text, Attrs: v.Attrs}, nil
}

// parsePlainJSON reads the usual record, {"log":"...","stream":"...","time":"..."}, in place and without a decoder,
// which would take most of the time that reading a large log takes. It changes b.
func parsePlainJSON(b []byte, o *LogOptions) (l LogLine, ok bool) {
	rest, ok := bytes.CutPrefix(b, []byte(`{"log":"`))
	if !ok {
		return l, false
	}
	// The end of the text is the first quote that is not escaped, before anything is changed.
	end := 0
	for {
		n := bytes.IndexByte(rest[end:], '"')
		if n < 0 {
			return l, false
		}
		end += n
		slashes := 0
		for slashes < end && rest[end-1-slashes] == '\\' {
			slashes++
		}
		if slashes%2 == 0 {
			break
		}
		end++
	}
	text, rest := rest[:end], rest[end+1:]
	if rest, ok = bytes.CutPrefix(rest, []byte(`,"stream":"stdout"`)); !ok {
		if rest, ok = bytes.CutPrefix(rest, []byte(`,"stream":"stderr"`)); !ok {
			return l, false
		}
		l.Stderr = true
	}
	if rest, ok = bytes.CutPrefix(rest, []byte(`,"time":"`)); !ok || !bytes.HasSuffix(rest, []byte(`"}`)) {
		return l, false
	}
	if o.times() && l.Time.UnmarshalText(rest[:len(rest)-2]) != nil {
		return l, false
	}
	if text, ok = unescape(text); !ok {
		return l, false
	}
	text, whole := bytes.CutSuffix(text, []byte("\n"))
	l.Text, l.Partial = text, !whole
	return l, true
}

// unescape replaces the escapes of a JSON string, in place unless it has one that it leaves to the decoder.
func unescape(b []byte) ([]byte, bool) {
	at := bytes.IndexByte(b, '\\')
	if at < 0 {
		return b, true
	}
	if bytes.Contains(b, []byte(`\ud`)) || bytes.Contains(b, []byte(`\uD`)) { // a surrogate pair
		return nil, false
	}
	out := b[:at]
	for i := at; i < len(b); i++ {
		if b[i] != '\\' {
			out = append(out, b[i])
			continue
		}
		i++
		switch b[i] {
		case 'n':
			out = append(out, '\n')
		case 'r':
			out = append(out, '\r')
		case 't':
			out = append(out, '\t')
		case 'b':
			out = append(out, '\b')
		case 'f':
			out = append(out, '\f')
		case 'u':
			r := rune(0)
			for k := 1; k <= 4; k++ {
				if i+k >= len(b) {
					return out, true
				}
				r = r<<4 | rune(hexValue(b[i+k]))
			}
			i += 4
			out = utf8.AppendRune(out, r)
		default:
			out = append(out, b[i])
		}
	}
	return out, true
}

func hexValue(c byte) byte {
	switch {
	case c <= '9':
		return c - '0'
	case c >= 'a':
		return c - 'a' + 10
	}
	return c - 'A' + 10
}
