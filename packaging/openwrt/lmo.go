package main

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// LuCI reads a catalogue of translations as texts, one after another, and an
// index of them by a sum of what was translated.

// message is one of a catalogue's.
type message struct {
	context, id, plural string
	translations        []string // one, or one for each form of the plural
}

// catalogueEntry says where the text for a key stands.
type catalogueEntry struct{ key, forms, at, size uint32 }

var poLine = regexp.MustCompile(`^(?:(msgctxt|msgid|msgid_plural|msgstr)(?:\[([0-9])\])?[ \t]+)?"(.*)"$`)

// lmo compiles a catalogue as gettext's tools write it.
func lmo(po []byte) ([]byte, error) {
	messages, err := parsePo(string(po))
	if err != nil {
		return nil, err
	}
	var texts []byte
	var index []catalogueEntry
	put := func(key, forms uint32, text string) {
		index = append(index, catalogueEntry{key, forms, uint32(len(texts)), uint32(len(text))})
		texts = append(texts, text...)
		texts = append(texts, make([]byte, -len(text)&3)...)
	}
	for _, m := range messages {
		if m.id == "" {
			if formula := pluralFormula(m.translations); formula != "" {
				put(0, 0, formula)
			}
			continue
		}
		for i, text := range m.translations {
			if key := hash(m.key(i)); text != "" && key != hash(text) {
				put(key, uint32(len(m.translations)), text)
			}
		}
	}
	if len(texts) == 0 {
		return nil, errors.New("nothing is translated in it")
	}
	size := uint32(len(texts))
	slices.SortStableFunc(index, func(a, b catalogueEntry) int { return cmp.Compare(a.key, b.key) })
	for _, e := range index {
		for _, n := range []uint32{e.key, e.forms, e.at, e.size} {
			texts = binary.BigEndian.AppendUint32(texts, n)
		}
	}
	return binary.BigEndian.AppendUint32(texts, size), nil
}

// key is what LuCI asks for: form i of the plural, if there is one.
func (m *message) key(i int) string {
	key := m.id
	if m.context != "" {
		key = m.context + "\x01" + key
	}
	if m.plural != "" {
		key += "\x02" + strconv.Itoa(i)
	}
	return key
}

// parsePo reads the messages; those that are marked as guesses count, as they
// do for LuCI.
func parsePo(text string) ([]*message, error) {
	var all []*message
	m, part := &message{}, (*string)(nil)
	for i, line := range strings.Split(text, "\n") {
		line = strings.TrimRight(line, " \t\r")
		if line == "" || line[0] == '#' {
			continue
		}
		found := poLine.FindStringSubmatch(line)
		if found == nil || found[1] == "" && part == nil {
			return nil, fmt.Errorf("line %d: no line of a catalogue: %s", i+1, line)
		}
		if found[1] == "msgctxt" || found[1] == "msgid" {
			if len(m.translations) > 0 {
				all, m = append(all, m), &message{}
			}
		}
		switch found[1] {
		case "msgctxt":
			part = &m.context
		case "msgid":
			part = &m.id
		case "msgid_plural":
			part = &m.plural
		case "msgstr":
			m.translations = append(m.translations, "")
			part = &m.translations[len(m.translations)-1]
			if found[2] != "" && found[2] != strconv.Itoa(len(m.translations)-1) {
				return nil, fmt.Errorf("line %d: form %s of the plural out of order", i+1, found[2])
			}
		}
		*part += unescape(found[3])
	}
	if len(m.translations) > 0 {
		all = append(all, m)
	}
	return all, nil
}

// unescape leaves all escapes but those of quotes and of themselves: LuCI's
// pages ask for texts with \n in two letters.
var unescape = strings.NewReplacer(`\"`, `"`, `\\`, `\`).Replace

// pluralFormula is that of a catalogue's head.
func pluralFormula(head []string) string {
	for _, text := range head {
		for line := range strings.SplitSeq(text, `\n`) {
			if formula, ok := strings.CutPrefix(line, "Plural-Forms: "); ok {
				return formula
			}
		}
	}
	return ""
}

// hash is Paul Hsieh's, which starts from the length, and takes a last odd byte
// as signed.
func hash(s string) uint32 {
	if s == "" {
		return 0
	}
	pair := func(i int) uint32 { return uint32(s[i]) | uint32(s[i+1])<<8 }
	signed := func(i int) uint32 { return uint32(int32(int8(s[i]))) }
	h, i := uint32(len(s)), 0
	for ; i+4 <= len(s); i += 4 {
		h += pair(i)
		h = h<<16 ^ pair(i+2)<<11 ^ h
		h += h >> 11
	}
	switch len(s) - i {
	case 3:
		h += pair(i)
		h ^= h << 16
		h ^= signed(i+2) << 18
		h += h >> 11
	case 2:
		h += pair(i)
		h ^= h << 11
		h += h >> 17
	case 1:
		h += signed(i)
		h ^= h << 10
		h += h >> 1
	}
	for _, shift := range []struct{ left, right int }{{3, 5}, {4, 17}, {25, 6}} {
		h ^= h << shift.left
		h += h >> shift.right
	}
	return h
}
