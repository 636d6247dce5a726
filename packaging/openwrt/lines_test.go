package main

import (
	"bytes"
	"compress/gzip"
	"debug/elf"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// crashing calls itself, is inlined, defers and recovers, and ends with a trace.
const crashing = `package main

import (
	"fmt"
	"os"
	"runtime"
)

type list struct{ next *list; data []byte }

func inlined(n int) int { return 10 / n }

//go:noinline
func recovered(n int) (err error) {
	defer func() { err, _ = recover().(error) }()
	fmt.Fprint(os.Stdout, inlined(n))
	return nil
}

//go:noinline
func deep(n int, kept *list) int {
	if n == 0 {
		runtime.GC() // reads every frame
		return len(kept.data)
	}
	return deep(n-1, &list{kept, make([]byte, n)}) + len(kept.data)
}

func main() {
	fmt.Println(recovered(0), deep(5000, &list{}))
	inlined(len(os.Args) - 1)
}
`

// A program without lines runs as before, and its trace has the names.
func TestForgetLines(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{"main.go": crashing, "go.mod": "module crashing\n\ngo 1.26\n"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for arch, processor := range processors {
		if arch == anyArch {
			continue
		}
		t.Run(arch, func(t *testing.T) {
			build := exec.Command("go", "build", "-trimpath", "-ldflags=-s -w", "-o", arch, ".")
			build.Dir, build.Env = dir, append(os.Environ(), append(processor, "GOOS=linux", "CGO_ENABLED=0")...)
			if out, err := build.CombinedOutput(); err != nil {
				t.Fatalf("%v: %s", err, out)
			}
			program := []byte(readFile(t, filepath.Join(dir, arch)))
			before, status := emulate(t, arch, program)
			if status != 2 || !strings.Contains(before, "main.go:11") {
				t.Fatalf("before: %d: %s", status, before)
			}
			first, _, _ := strings.Cut(before, "\n")
			size := compressed9(t, program)
			newer := bytes.ReplaceAll(program, []byte(knownGo), []byte("go1.99"))
			if err := forgetLines(newer); !errors.Is(err, errUnknownGo) {
				t.Errorf("of a Go that it does not know: %v", err)
			}
			file := File{Name: arch, Mode: 0o755, Data: bytes.Clone(newer)}
			if err := file.shrink(); err != nil || !bytes.Equal(file.Data, newer) {
				t.Errorf("a program of a Go that it does not know is not packed as it is: %v", err)
			}
			if err := forgetLines(program); err != nil {
				t.Fatal(err)
			}
			after, status := emulate(t, arch, program)
			if !strings.HasPrefix(after, first+"\n") || status != 2 {
				t.Errorf("without lines: %d: %s", status, after)
			}
			for _, want := range []string{"panic: runtime error: integer divide by zero", "main.main()", "main.inlined(...)", "?:0 +0x"} {
				if !strings.Contains(after, want) {
					t.Errorf("no %q in the trace: %s", want, after)
				}
			}
			if small := compressed9(t, program); small > size*9/10 {
				t.Errorf("%d bytes became %d", size, small)
			}
		})
	}
}

func TestForgetLinesLeavesTheRestAlone(t *testing.T) {
	for _, text := range []string{"", "#!/bin/sh\n", "\x7fELF"} {
		data := []byte(text)
		if err := forgetLines(data); err != nil || string(data) != text {
			t.Errorf("%q: %v, became %q", text, err, data)
		}
	}
	need(t, "make")
	host, err := exec.LookPath("make")
	if err != nil {
		t.Fatal(err)
	}
	data := []byte(readFile(t, host))
	if err := forgetLines(data); err != nil || string(data) != readFile(t, host) {
		t.Errorf("a program in C: %v", err)
	}
}

// emulators run programs of the architectures that this host's processor is not.
var emulators = map[elf.Machine]string{
	elf.EM_X86_64: "qemu-x86_64-static", elf.EM_AARCH64: "qemu-aarch64-static",
	elf.EM_ARM: "qemu-arm-static", elf.EM_MIPS: "qemu-mipsel-static",
}

// emulate runs a program, and is what it says and its exit status.
func emulate(t *testing.T, arch string, program []byte, args ...string) (string, int) {
	t.Helper()
	file, err := elf.NewFile(bytes.NewReader(program))
	if err != nil {
		t.Fatal(err)
	}
	need(t, emulators[file.Machine])
	path := filepath.Join(t.TempDir(), arch)
	if err := os.WriteFile(path, program, 0o755); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command(emulators[file.Machine], append([]string{path}, args...)...).CombinedOutput()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	status := 0
	if exit != nil {
		status = exit.ExitCode()
	}
	return string(out), status
}

// compressed9 is the size of what gzip -9 makes of data.
func compressed9(t *testing.T, data []byte) int {
	t.Helper()
	var out bytes.Buffer
	w, err := gzip.NewWriterLevel(&out, gzip.BestCompression)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(data); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Len()
}
