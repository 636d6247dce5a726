package main

import (
	"encoding/binary"
	"fmt"
)

// An ADB value is a 32-bit word: four bits of type, and 28 that are the value
// itself or where it stands. apk-v3(5) describes it.
type value uint32

const (
	typeInt    value = 0x1 << 28
	typeInt32  value = 0x2 << 28
	typeInt64  value = 0x3 << 28
	typeBlob8  value = 0x8 << 28
	typeBlob16 value = 0x9 << 28
	typeBlob32 value = 0xa << 28
	typeArray  value = 0xd << 28
	typeObject value = 0xe << 28
	typeMask   value = 0xf << 28

	null value = 0
)

// database is an ADB that grows. What is written first stands first, and what
// is written twice stands once, just as apk does it: so our bytes are its bytes.
type database struct {
	bytes []byte
	seen  map[string]int
}

// rootAt is where the header keeps the root; before it stand two versions, 0.
const rootAt = 4

func newDatabase() *database {
	return &database{bytes: make([]byte, 8), seen: map[string]int{}}
}

// place writes data at a multiple of align, and says where.
func (d *database) place(data []byte, align int) int {
	for len(d.bytes)%align != 0 {
		d.bytes = append(d.bytes, 0)
	}
	at := len(d.bytes)
	d.bytes = append(d.bytes, data...)
	return at
}

// share is place for what may stand there already.
func (d *database) share(data []byte, align int) value {
	if at, ok := d.seen[string(data)]; ok && at%align == 0 {
		return value(at)
	}
	at := d.place(data, align)
	d.seen[string(data)] = at
	return value(at)
}

// counted puts a length before data, as short as it fits.
func counted[T string | []byte](data T) (bytes []byte, align int, kind value) {
	switch n := len(data); {
	case n > 0xffff:
		return append(binary.LittleEndian.AppendUint32(nil, uint32(n)), data...), 4, typeBlob32
	case n > 0xff:
		return append(binary.LittleEndian.AppendUint16(nil, uint16(n)), data...), 2, typeBlob16
	default:
		return append([]byte{byte(n)}, data...), 1, typeBlob8
	}
}

func (d *database) blob(data []byte) value {
	if len(data) == 0 {
		return null
	}
	bytes, align, kind := counted(data)
	return kind | d.share(bytes, align)
}

func (d *database) text(s string) value { return d.blob([]byte(s)) }

// own is a blob that nothing else shares, as it is to be changed; at is where its data stands.
func (d *database) own(data []byte) (v value, at int) {
	bytes, align, kind := counted(data)
	at = d.place(bytes, align)
	return kind | value(at), at + len(bytes) - len(data)
}

func (d *database) int(n uint64) value {
	switch {
	case n >= 1<<32:
		return typeInt64 | d.share(binary.LittleEndian.AppendUint64(nil, n), 4)
	case n >= 1<<28:
		return typeInt32 | d.share(binary.LittleEndian.AppendUint32(nil, uint32(n)), 4)
	}
	return typeInt | value(n)
}

// object writes the values of an object's fields, or of an array's items, from
// the first on; those at the end that are null are left out. apk marks most
// arrays as objects, too, and reads both as either.
func (d *database) object(fields ...value) value {
	for len(fields) > 0 && fields[len(fields)-1] == null {
		fields = fields[:len(fields)-1]
	}
	if len(fields) == 0 {
		return null
	}
	bytes := binary.LittleEndian.AppendUint32(nil, uint32(len(fields)+1))
	for _, f := range fields {
		bytes = binary.LittleEndian.AppendUint32(bytes, uint32(f))
	}
	return typeObject | d.share(bytes, 4)
}

func (d *database) setRoot(v value) { binary.LittleEndian.PutUint32(d.bytes[rootAt:], uint32(v)) }

func (d *database) root() value { return value(binary.LittleEndian.Uint32(d.bytes[rootAt:])) }

// at is what stands at a value's place, up to n bytes of it.
func (d *database) at(v value, n int) ([]byte, error) {
	at := int(v &^ typeMask)
	if n < 0 || at+n > len(d.bytes) {
		return nil, fmt.Errorf("a value of %d bytes at %d, of %d bytes: the file is damaged", n, at, len(d.bytes))
	}
	return d.bytes[at : at+n], nil
}

// fields are the values of an object or array.
func (d *database) fields(v value) ([]value, error) {
	if kind := v & typeMask; kind != typeObject && kind != typeArray {
		return nil, nil
	}
	head, err := d.at(v, 4)
	if err != nil {
		return nil, err
	}
	body, err := d.at(v, 4*int(binary.LittleEndian.Uint32(head)))
	if err != nil {
		return nil, err
	}
	var all []value
	for i := 4; i < len(body); i += 4 {
		all = append(all, value(binary.LittleEndian.Uint32(body[i:])))
	}
	return all, nil
}

// blobAt is the data of a blob, and nothing for what is no blob.
func (d *database) blobAt(v value) ([]byte, error) {
	length := map[value]int{typeBlob8: 1, typeBlob16: 2, typeBlob32: 4}[v&typeMask]
	if length == 0 {
		return nil, nil
	}
	head, err := d.at(v, length)
	if err != nil {
		return nil, err
	}
	var n [4]byte
	copy(n[:], head)
	data, err := d.at(v, length+int(binary.LittleEndian.Uint32(n[:])))
	if err != nil {
		return nil, err
	}
	return data[length:], nil
}

// copyFrom writes what v is in another database into this one. depth bounds a
// file that contains itself.
func (d *database) copyFrom(from *database, v value, depth int) (value, error) {
	if depth == 0 {
		return null, fmt.Errorf("values within values without end: the file is damaged")
	}
	switch v & typeMask {
	case typeInt32, typeInt64:
		size := map[value]int{typeInt32: 4, typeInt64: 8}[v&typeMask]
		data, err := from.at(v, size)
		if err != nil {
			return null, err
		}
		return v&typeMask | d.share(data, size), nil
	case typeBlob8, typeBlob16, typeBlob32:
		data, err := from.blobAt(v)
		if err != nil {
			return null, err
		}
		return d.blob(data), nil
	case typeObject, typeArray:
		fields, err := from.fields(v)
		if err != nil {
			return null, err
		}
		for i, f := range fields {
			if fields[i], err = d.copyFrom(from, f, depth-1); err != nil {
				return null, err
			}
		}
		return d.object(fields...), nil
	}
	return v, nil
}
