package image

import (
	"errors"
	"fmt"
	"strings"
)

// The words of a Dockerfile's instruction: parted by blanks, with quotes, backslashes and variables as in a shell, but
// variables are not parted again.

type lexer struct {
	rest   string
	lookup func(string) (string, bool)
}

// splitWords parts an instruction's arguments and puts in the values of variables.
func splitWords(s string, lookup func(string) (string, bool)) ([]string, error) {
	l := &lexer{s, lookup}
	var words []string
	for {
		l.rest = strings.TrimLeft(l.rest, " \t")
		if l.rest == "" {
			return words, nil
		}
		w, err := l.word(" \t")
		if err != nil {
			return nil, err
		}
		words = append(words, w)
	}
}

// expand is one word of all of s, blanks and all.
func expand(s string, lookup func(string) (string, bool)) (string, error) {
	return (&lexer{s, lookup}).word("")
}

// word reads until one of the ends outside quotes, which stays.
func (l *lexer) word(ends string) (string, error) {
	var out strings.Builder
	for l.rest != "" && !strings.ContainsRune(ends, rune(l.rest[0])) {
		switch c := l.next(); c {
		case '\'':
			text, rest, ok := strings.Cut(l.rest, "'")
			if !ok {
				return "", errors.New("a ' is not closed")
			}
			out.WriteString(text)
			l.rest = rest
		case '"':
			if err := l.quoted(&out); err != nil {
				return "", err
			}
		case '\\':
			if l.rest == "" {
				return "", errors.New(`nothing follows the last \`)
			}
			out.WriteByte(l.next())
		case '$':
			v, err := l.variable()
			if err != nil {
				return "", err
			}
			out.WriteString(v)
		default:
			out.WriteByte(c)
		}
	}
	return out.String(), nil
}

func (l *lexer) next() byte {
	c := l.rest[0]
	l.rest = l.rest[1:]
	return c
}

func (l *lexer) quoted(out *strings.Builder) error {
	for l.rest != "" {
		switch c := l.next(); {
		case c == '"':
			return nil
		case c == '\\' && l.rest != "" && strings.ContainsRune(`"$\`, rune(l.rest[0])):
			out.WriteByte(l.next())
		case c == '$':
			v, err := l.variable()
			if err != nil {
				return err
			}
			out.WriteString(v)
		default:
			out.WriteByte(c)
		}
	}
	return errors.New(`a " is not closed`)
}

// variable reads what follows a dollar sign: NAME, {NAME}, {NAME:-WORD} or {NAME:+WORD}.
func (l *lexer) variable() (string, error) {
	if !strings.HasPrefix(l.rest, "{") {
		name := l.name()
		if name == "" {
			return "$", nil
		}
		v, _ := l.lookup(name)
		return v, nil
	}
	l.next()
	name := l.name()
	v, _ := l.lookup(name)
	switch {
	case name == "":
	case strings.HasPrefix(l.rest, "}"):
		l.next()
		return v, nil
	case strings.HasPrefix(l.rest, ":-"), strings.HasPrefix(l.rest, ":+"):
		plus := l.rest[1] == '+'
		l.rest = l.rest[2:]
		word, err := l.word("}")
		if err != nil {
			return "", err
		}
		if l.rest == "" {
			break
		}
		l.next()
		if (v != "") == plus {
			return word, nil
		}
		return v, nil
	}
	return "", fmt.Errorf("${%s is not of the form ${NAME}, ${NAME:-WORD} or ${NAME:+WORD}", name)
}

func (l *lexer) name() string {
	n := strings.IndexFunc(l.rest, func(r rune) bool {
		return !(r == '_' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9')
	})
	if n < 0 {
		n = len(l.rest)
	}
	name := l.rest[:n]
	l.rest = l.rest[n:]
	return name
}
