package main

import (
	"fmt"
	"strings"
)

// parseMessages reads a pkg-message: a text for all, or a list
//
//	[
//	{ type: install
//	  message: <<EOM
//	…
//	EOM
//	}
//	]
//
// of texts for those who install, upgrade or remove. It is the part of pkg's
// language that messages are written in.
func parseMessages(text string) ([]Message, error) {
	text = strings.TrimSpace(text)
	if text == "" {
		return nil, nil
	}
	list, isList := strings.CutPrefix(text, "[")
	if !isList {
		return []Message{{Message: text}}, nil
	}
	list, closed := strings.CutSuffix(list, "]")
	if !closed {
		return nil, fmt.Errorf("pkg-message: the list does not end in ]")
	}
	var all []Message
	for list = trimmed(list); list != ""; list = trimmed(list) {
		var m Message
		var err error
		if m, list, err = parseMessage(list); err != nil {
			return nil, fmt.Errorf("pkg-message, message %d: %w", len(all)+1, err)
		}
		all = append(all, m)
	}
	return all, nil
}

// trimmed is without the blanks and separators before what follows.
func trimmed(text string) string { return strings.TrimLeft(text, " \t\n,;") }

// parseMessage reads one, and returns what follows.
func parseMessage(text string) (m Message, rest string, err error) {
	rest, ok := strings.CutPrefix(text, "{")
	if !ok {
		return m, "", fmt.Errorf("begins with %.20q, not with {", text)
	}
	for {
		rest = trimmed(rest)
		if after, done := strings.CutPrefix(rest, "}"); done {
			if m.Message == "" {
				return m, "", fmt.Errorf("it has no message:")
			}
			return m, after, nil
		}
		key, value, _ := strings.Cut(rest, ":")
		value = strings.TrimLeft(value, " \t")
		switch key {
		case "type":
			line, after, _ := strings.Cut(value, "\n")
			m.Type, rest = strings.Trim(line, `",; `), after
			if m.Type != "install" && m.Type != "upgrade" && m.Type != "remove" {
				return m, "", fmt.Errorf("type %q: install, upgrade or remove", m.Type)
			}
		case "message":
			if m.Message, rest, err = hereDocument(value); err != nil {
				return m, "", err
			}
		default:
			return m, "", fmt.Errorf("%.20q: only type: and message: are known here", key)
		}
	}
}

// hereDocument reads <<END, lines, and END.
func hereDocument(text string) (body, rest string, err error) {
	end, lines, _ := strings.Cut(text, "\n")
	mark, ok := strings.CutPrefix(end, "<<")
	if mark = strings.TrimSpace(mark); !ok || mark == "" {
		return "", "", fmt.Errorf("message: is to be followed by <<EOM, lines, and EOM")
	}
	body, rest, ok = strings.Cut("\n"+lines+"\n", "\n"+mark+"\n")
	if !ok {
		return "", "", fmt.Errorf("%s does not end the message", mark)
	}
	return strings.TrimPrefix(body, "\n"), rest, nil
}
