package serve

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"unicode/utf8"
)

// lineLength is the length of the next record's text: a line with its end, or so much of it as one record holds.
func lineLength(chunk []byte) int {
	n := bytes.IndexByte(chunk[:min(len(chunk), maxLine+1)], '\n') + 1
	if n > 0 {
		return n
	}
	if len(chunk) <= maxLine {
		return len(chunk)
	}
	return maxLine - cutCharacter(chunk[:maxLine])
}

// appendK8s writes "TIME STREAM F|P LINE\n", F for a whole line and P for a part of one (the CRI log format).
func appendK8s(buf, stamp []byte, stream string, line []byte) []byte {
	buf = append(append(append(buf, stamp...), ' '), stream...)
	if line[len(line)-1] == '\n' {
		buf = append(buf, " F "...)
		return append(buf, line...)
	}
	buf = append(buf, " P "...)
	return append(append(buf, line...), '\n')
}

// appendJSON writes Docker's json-file record. Bytes that are no text become U+FFFD in it, as Docker does; the line as
// it was stands beside them as "raw".
func (l *fileLog) appendJSON(buf, stamp []byte, stream string, line []byte) []byte {
	buf = append(buf, `{"log":`...)
	buf, whole := appendString(buf, line)
	buf = append(append(append(buf, `,"stream":"`...), stream...), '"')
	if !whole {
		buf = append(buf, `,"raw":"`...)
		buf = append(base64.StdEncoding.AppendEncode(buf, line), '"')
	}
	buf = append(buf, l.attrs...)
	return append(append(append(buf, `,"time":"`...), stamp...), "\"}\n"...)
}

// encodeAttrs is Docker's member for the details of a container's log, with the comma before it.
func encodeAttrs(attrs map[string]string) []byte {
	if len(attrs) == 0 {
		return nil
	}
	b, err := json.Marshal(attrs)
	if err != nil {
		return nil
	}
	return append([]byte(`,"attrs":`), b...)
}

const hex = "0123456789abcdef"

// appendString writes a JSON string as encoding/json does, and tells whether text was valid UTF-8.
func appendString(buf, text []byte) (_ []byte, whole bool) {
	whole = true
	buf = append(buf, '"')
	start := 0
	for i := 0; i < len(text); {
		c := text[i]
		if c >= utf8.RuneSelf {
			r, n := utf8.DecodeRune(text[i:])
			switch {
			case r == utf8.RuneError && n == 1:
				buf = append(append(buf, text[start:i]...), `\ufffd`...)
				start, whole = i+n, false
			case r == '\u2028' || r == '\u2029':
				buf = append(append(buf, text[start:i]...), `\u202`...)
				buf = append(buf, hex[r&0xf])
				start = i + n
			}
			i += n
			continue
		}
		if c >= ' ' && c != '"' && c != '\\' && c != '<' && c != '>' && c != '&' {
			i++
			continue
		}
		buf = append(buf, text[start:i]...)
		switch c {
		case '"', '\\':
			buf = append(buf, '\\', c)
		case '\n':
			buf = append(buf, `\n`...)
		case '\r':
			buf = append(buf, `\r`...)
		case '\t':
			buf = append(buf, `\t`...)
		default:
			buf = append(buf, '\\', 'u', '0', '0', hex[c>>4], hex[c&0xf])
		}
		i++
		start = i
	}
	return append(append(buf, text[start:]...), '"'), whole
}
