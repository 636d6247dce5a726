package main

import (
	"bytes"
	"debug/buildinfo"
	"debug/elf"
	"encoding/binary"
	"errors"
	"fmt"
	goversion "go/version"
)

// A Go program knows the file and the line of each of its instructions, and how
// to print each function's arguments, to tell where it crashed. That is an
// eighth of it as a package, so on a router a trace has the names of functions
// and offsets in them; the same commit built without forgetting, and go tool
// addr2line, say the rest. What the runtime itself needs stays: the sizes of
// frames, what is a pointer, what is inlined.

// Places in the tables as this Go writes them: runtime/symtab.go, internal/abi.
// The magic alone does not tell: it is still that of Go 1.20.
const (
	knownGo    = "go1.26"
	tableMagic = 0xfffffff1

	funcPcsp      = 16
	funcPcfile    = 20
	funcPcln      = 24
	funcPcdata    = 28 // how many tables follow
	funcUnit      = 32
	funcStartLine = 36
	funcFuncdata  = 43 // how many offsets follow those
	funcTables    = 44

	pcdataArguments = 3
)

// funcdataArguments are the places of what a trace prints arguments by.
var funcdataArguments = []int{5, 6}

// lineTables are the parts of a program's tables.
type lineTables struct {
	order  binary.ByteOrder
	files  []byte // of each compiled unit, by number and by name
	tables []byte // shared by what has equal ones
	funcs  []byte
	count  int
}

var errUnknownGo = errors.New("this Go may write its tables in another form than " + knownGo + ": lines.go has to learn it")

// forgetLines empties the tables of lines in a program, in place. What is no Go
// program is left alone.
func forgetLines(program []byte) error {
	file, err := elf.NewFile(bytes.NewReader(program))
	if err != nil {
		return nil // no program
	}
	section := file.Section(".gopclntab")
	if section == nil {
		return nil
	}
	info, err := buildinfo.Read(bytes.NewReader(program))
	if err != nil || goversion.Lang(info.GoVersion) != knownGo {
		return errUnknownGo
	}
	t, err := parseLineTables(program[section.Offset:section.Offset+section.Size], file.ByteOrder)
	if err != nil {
		return err
	}
	needed := make([]bool, len(t.tables))
	for i := range t.count {
		if err := t.forget(i, needed); err != nil {
			return err
		}
	}
	for i := range t.tables {
		if !needed[i] {
			t.tables[i] = 0
		}
	}
	clear(t.files)
	return nil
}

func parseLineTables(data []byte, order binary.ByteOrder) (*lineTables, error) {
	if len(data) < 8 || order.Uint32(data) != tableMagic {
		return nil, errUnknownGo
	}
	var words [8]int
	size := int(data[7])
	for i := range words {
		at := 8 + i*size
		if size == 8 {
			words[i] = int(order.Uint64(data[at:]))
		} else {
			words[i] = int(order.Uint32(data[at:]))
		}
	}
	names, units, files, tables, funcs := words[3], words[4], words[5], words[6], words[7]
	if !(names < units && units <= files && files < tables && tables < funcs && funcs < len(data)) {
		return nil, fmt.Errorf("tables out of order: %v", words)
	}
	return &lineTables{
		order: order, files: data[units:tables],
		tables: data[tables:funcs], funcs: data[funcs:], count: words[0],
	}, nil
}

// function is what the tables say of function i, from where it says it.
func (t *lineTables) function(i int) []byte {
	return t.funcs[t.order.Uint32(t.funcs[8*i+4:]):]
}

// forget takes from function i what only a trace reads, and marks the tables
// that stay.
func (t *lineTables) forget(i int, needed []bool) error {
	fn := t.function(i)
	for _, at := range []int{funcPcfile, funcPcln, funcUnit, funcStartLine} {
		t.order.PutUint32(fn[at:], 0)
	}
	if err := t.need(t.order.Uint32(fn[funcPcsp:]), needed); err != nil {
		return err
	}
	n := int(t.order.Uint32(fn[funcPcdata:]))
	for j := range n {
		at := fn[funcTables+4*j:]
		if j == pcdataArguments {
			t.order.PutUint32(at, 0)
		} else if err := t.need(t.order.Uint32(at), needed); err != nil {
			return err
		}
	}
	for _, j := range funcdataArguments {
		if j < int(fn[funcFuncdata]) {
			t.order.PutUint32(fn[funcTables+4*(n+j):], ^uint32(0))
		}
	}
	return nil
}

// need marks the table at the given place: pairs of steps in value and in
// address, until one of no value. 0 is no table.
func (t *lineTables) need(at uint32, needed []bool) error {
	if at == 0 {
		return nil
	}
	for pos := int(at); ; {
		step, n := binary.Uvarint(t.tables[pos:])
		end := step == 0 && pos > int(at)
		if !end {
			_, m := binary.Uvarint(t.tables[pos+n:])
			n += m
		}
		if n <= 0 || pos+n > len(t.tables) {
			return fmt.Errorf("a table without end at %d", at)
		}
		for ; n > 0; n-- {
			needed[pos] = true
			pos++
		}
		if end {
			return nil
		}
	}
}
