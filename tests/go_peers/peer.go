// Checks a log with code that others wrote: Go's sumdb/note and sumdb/tlog, which Go's own module database rests on.
//
// Reads a JSON array of cases from standard input and writes an array of texts: empty where everything holds, else
// what does not. Built in GOPATH mode against Debian's golang-golang-x-mod-dev.
package main

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

const height = 8

type testcase struct {
	Key, Checkpoint, Tiles string
	Inclusion              []struct {
		Index    int64
		LeafHash string
		Path     []string
	}
	Consistency []struct {
		Checkpoint string
		Path       []string
	}
	Leaves []int64 // to be read from bundles and found again through tiles
}

func main() {
	var cases []testcase
	if err := json.NewDecoder(os.Stdin).Decode(&cases); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}
	said := []string{}
	for _, each := range cases {
		text := ""
		if err := each.check(); err != nil {
			text = err.Error()
		}
		said = append(said, text)
	}
	json.NewEncoder(os.Stdout).Encode(said)
}

func (c testcase) check() error {
	tree, err := c.opened(c.Checkpoint)
	if err != nil {
		return err
	}
	for _, each := range c.Inclusion {
		leaf, err := hashes([]string{each.LeafHash})
		if err != nil {
			return err
		}
		path, err := hashes(each.Path)
		if err != nil {
			return err
		}
		if err := tlog.CheckRecord(path, tree.N, tree.Hash, each.Index, leaf[0]); err != nil {
			return fmt.Errorf("inclusion of %d: %w", each.Index, err)
		}
	}
	for _, each := range c.Consistency {
		old, err := c.opened(each.Checkpoint)
		if err != nil {
			return err
		}
		path, err := hashes(each.Path)
		if err != nil {
			return err
		}
		if err := tlog.CheckTree(path, tree.N, tree.Hash, old.N, old.Hash); err != nil {
			return fmt.Errorf("consistency with %d: %w", old.N, err)
		}
	}
	reader := tlog.TileHashReader(tree, tiles(c.Tiles))
	for _, index := range c.Leaves {
		leaf, err := tiles(c.Tiles).leaf(index)
		if err != nil {
			return err
		}
		proof, err := tlog.ProveRecord(tree.N, index, reader)
		if err != nil {
			return fmt.Errorf("tiles of %d: %w", index, err)
		}
		if err := tlog.CheckRecord(proof, tree.N, tree.Hash, index, tlog.RecordHash(leaf)); err != nil {
			return fmt.Errorf("bundle of %d: %w", index, err)
		}
	}
	return nil
}

func (c testcase) opened(signed string) (tree tlog.Tree, err error) {
	verifier, err := note.NewVerifier(c.Key)
	if err != nil {
		return tree, err
	}
	opened, err := note.Open([]byte(signed), note.VerifierList(verifier))
	if err != nil {
		return tree, err
	}
	lines := strings.Split(opened.Text, "\n")
	if len(lines) < 4 || lines[0] != verifier.Name() {
		return tree, errors.New("not a checkpoint of this log")
	}
	if tree.N, err = strconv.ParseInt(lines[1], 10, 64); err != nil {
		return tree, err
	}
	root, err := base64.StdEncoding.DecodeString(lines[2])
	if err != nil || copy(tree.Hash[:], root) != tlog.HashSize {
		return tree, errors.New("not a root")
	}
	return tree, nil
}

func hashes(said []string) ([]tlog.Hash, error) {
	found := []tlog.Hash{}
	for _, each := range said {
		data, err := hex.DecodeString(each)
		var hash tlog.Hash
		if err != nil || len(data) != copy(hash[:], data) || len(data) != tlog.HashSize {
			return nil, errors.New("not a hash")
		}
		found = append(found, hash)
	}
	return found, nil
}

// A folder of tiles as C2SP lays them out: Go's path without the height. Narrower tiles give way to full ones.
type tiles string

func (t tiles) Height() int { return height }

func (t tiles) SaveTiles([]tlog.Tile, [][]byte) {}

func (t tiles) ReadTiles(wanted []tlog.Tile) ([][]byte, error) {
	found := [][]byte{}
	for _, each := range wanted {
		data, err := t.read(each)
		if err == nil && len(data) < each.W*tlog.HashSize {
			err = errors.New("torn " + each.Path())
		}
		if err != nil {
			return nil, err
		}
		found = append(found, data[:each.W*tlog.HashSize])
	}
	return found, nil
}

func (t tiles) read(tile tlog.Tile) ([]byte, error) {
	name := strings.Replace(tile.Path(), fmt.Sprintf("tile/%d/", height), "tile/", 1)
	name = strings.Replace(name, "tile/data/", "tile/entries/", 1)
	data, err := os.ReadFile(filepath.Join(string(t), name))
	if errors.Is(err, os.ErrNotExist) && tile.W < 1<<height {
		tile.W = 1 << height
		return t.read(tile)
	}
	return data, err
}

func (t tiles) leaf(index int64) ([]byte, error) {
	tile := tlog.Tile{H: height, L: -1, N: index >> height, W: 1 << height}
	data, err := t.read(tile)
	for tile.W--; err != nil && tile.W > int(index&0xff); tile.W-- {
		data, err = os.ReadFile(filepath.Join(string(t), narrower(tile)))
	}
	for skip := index & 0xff; err == nil; skip-- {
		if len(data) < 2 || len(data) < 2+int(data[0])<<8+int(data[1]) {
			return nil, errors.New("torn bundle")
		}
		size := int(data[0])<<8 + int(data[1])
		if skip == 0 {
			return data[2 : 2+size], nil
		}
		data = data[2+size:]
	}
	return nil, err
}

func narrower(tile tlog.Tile) string {
	return strings.Replace(tile.Path(), fmt.Sprintf("tile/%d/data/", height), "tile/entries/", 1)
}
