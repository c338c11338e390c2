// SPDX-License-Identifier: Apache-2.0
// Makes what src/api/testdata/*_vectors.jsonl hold: random objects and patches with what upstream's packages make of
// them. One JSON document a line:
//
//	api-vectors patch SEED COUNT   {"type": "json"|"merge"|"strategic", "kind", "object", "patch", "want" | "error"}
//	api-vectors apply SEED COUNT   a story: {"kind", "steps": [{"op", "manager", "force", "subresource", "input", "want" | "error"}]}
package main

import (
	"encoding/json"
	"fmt"
	"math/rand"
	"os"
	"strconv"
)

type object = map[string]any
type list = []any

func main() {
	if len(os.Args) != 4 {
		fmt.Fprintln(os.Stderr, "usage: api-vectors patch|apply SEED COUNT")
		os.Exit(2)
	}
	seed, _ := strconv.ParseInt(os.Args[2], 10, 64)
	count, _ := strconv.Atoi(os.Args[3])
	r := &random{rand.New(rand.NewSource(seed))}
	out := json.NewEncoder(os.Stdout)
	out.SetEscapeHTML(false)
	for made := 0; made < count; {
		var vector any
		if os.Args[1] == "apply" {
			vector = story(r)
		} else {
			vector = patchVector(r)
		}
		if vector == nil {
			continue
		}
		if err := out.Encode(vector); err != nil {
			panic(err)
		}
		made++
	}
}

// copied goes through JSON, as every object does between a client and a server.
func copied[T any](value T) T {
	text, err := json.Marshal(value)
	if err != nil {
		panic(err)
	}
	var out T
	if err := unmarshal(text, &out); err != nil {
		panic(err)
	}
	return out
}
