// SPDX-License-Identifier: Apache-2.0
package main

import (
	"encoding/json"
	"reflect"
	"sort"
	"strings"

	jsonpatch "gopkg.in/evanphx/json-patch.v4"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/strategicpatch"
)

func typed(kind string) any {
	switch kind {
	case "Pod":
		return &corev1.Pod{}
	case "Deployment":
		return &appsv1.Deployment{}
	case "Service":
		return &corev1.Service{}
	}
	return &corev1.ConfigMap{}
}

func bytesOf(value any) []byte {
	text, err := json.Marshal(value)
	if err != nil {
		panic(err)
	}
	return text
}

func patchVector(r *random) any {
	kind := kinds[r.Intn(len(kinds))]
	from := copied(r.object(kind))
	out := object{"kind": kind, "object": from}
	var patch []byte
	var apply func() (any, error)
	switch r.Intn(4) {
	case 0:
		out["type"] = "json"
		patch = bytesOf(r.jsonPatch(from, r.object(kind)))
		apply = func() (any, error) {
			decoded, err := jsonpatch.DecodePatch(patch)
			if err != nil {
				return nil, err
			}
			return decodedOf(decoded.Apply(bytesOf(from)))
		}
	case 1:
		out["type"] = "merge"
		change := r.changed(kind, from)
		r.putNulls(change)
		patch = bytesOf(change)
		apply = func() (any, error) { return decodedOf(jsonpatch.MergePatch(bytesOf(from), patch)) }
	default:
		out["type"] = "strategic"
		patch = r.strategicPatch(kind, from)
		apply = func() (any, error) {
			return decodedOf(strategicpatch.StrategicMergePatch(bytesOf(from), patch, typed(kind)))
		}
	}
	if patch == nil {
		return nil
	}
	var document any
	if err := unmarshal(patch, &document); err != nil {
		return nil
	}
	out["patch"] = document
	want, failure, panicked := attempt(apply)
	// What depends on the order in which Go walks a map, or brings upstream down, is no judge.
	for again := 0; again < 4; again++ {
		other, otherFailure, otherPanicked := attempt(apply)
		if panicked || otherPanicked || (failure == nil) != (otherFailure == nil) || !reflect.DeepEqual(want, other) {
			return nil
		}
	}
	if failure != nil {
		out["error"] = failure.Error()
	} else {
		out["want"] = want
	}
	return out
}

func attempt(apply func() (any, error)) (want any, failure error, panicked bool) {
	defer func() {
		if recover() != nil {
			panicked = true
		}
	}()
	want, failure = apply()
	return want, failure, false
}

func decodedOf(text []byte, failure error) (any, error) {
	if failure != nil {
		return nil, failure
	}
	var out any
	return out, unmarshalInto(text, &out)
}

func unmarshalInto(text []byte, out *any) error { return unmarshal(text, out) }

// paths of all that is in a document, and of some things that are not.
func paths(prefix string, value any, out *[]string) {
	switch typed := value.(type) {
	case object:
		keys := []string{}
		for key := range typed {
			keys = append(keys, key)
		}
		sort.Strings(keys)
		for _, key := range keys {
			path := prefix + "/" + strings.ReplaceAll(strings.ReplaceAll(key, "~", "~0"), "/", "~1")
			*out = append(*out, path)
			paths(path, typed[key], out)
		}
		*out = append(*out, prefix+"/new")
	case list:
		for i, element := range typed {
			path := prefix + "/" + string(rune('0'+i))
			*out = append(*out, path)
			paths(path, element, out)
		}
		*out = append(*out, prefix+"/-", prefix+"/-1", prefix+"/9", prefix+"/x")
	}
}

func at(path string, value any) any {
	for _, key := range strings.Split(path, "/")[1:] {
		key = strings.ReplaceAll(strings.ReplaceAll(key, "~1", "/"), "~0", "~")
		switch typed := value.(type) {
		case object:
			value = typed[key]
		case list:
			if len(key) != 1 || key[0] < '0' || int(key[0]-'0') >= len(typed) {
				return nil
			}
			value = typed[key[0]-'0']
		default:
			return nil
		}
	}
	return value
}

func (r *random) jsonPatch(from, other object) any {
	known := []string{}
	paths("", from, &known)
	pick := func() string { return known[r.Intn(len(known))] }
	more := []string{}
	paths("", other, &more)
	out := list{}
	for n := r.Intn(3) + 1; n > 0; n-- {
		path := pick()
		step := object{"op": r.of("add", "remove", "replace", "move", "copy", "test"), "path": path}
		if r.chance(3) {
			step["op"] = "jump"
		}
		switch step["op"] {
		case "move", "copy":
			step["from"] = pick()
		case "test":
			step["value"] = at(path, from)
			if r.chance(20) {
				step["value"] = at(more[r.Intn(len(more))], other)
			}
		case "add", "replace":
			if r.chance(95) {
				step["value"] = at(more[r.Intn(len(more))], other)
			}
		}
		out = append(out, step)
	}
	return out
}

// putNulls makes some members null.
func (r *random) putNulls(o object) {
	keys := []string{}
	for key := range o {
		keys = append(keys, key)
	}
	sort.Strings(keys)
	for _, key := range keys {
		if r.chance(10) {
			o[key] = nil
		} else if inner, ok := o[key].(object); ok {
			r.putNulls(inner)
		} else if elements, ok := o[key].(list); ok {
			for _, element := range elements {
				if inner, ok := element.(object); ok && r.chance(10) {
					r.putNulls(inner)
				}
			}
		}
	}
}

func (r *random) strategicPatch(kind string, from object) []byte {
	change := r.changed(kind, from)
	switch r.Intn(3) {
	case 0:
		patch, err := strategicpatch.CreateTwoWayMergePatch(bytesOf(from), bytesOf(change), typed(kind))
		if err != nil {
			return nil
		}
		return patch
	case 1:
		// What kubectl apply sends: what it applied last, what it applies now, what is there.
		meta, err := strategicpatch.NewPatchMetaFromStruct(typed(kind))
		if err != nil {
			return nil
		}
		last := r.changed(kind, from)
		patch, err := strategicpatch.CreateThreeWayMergePatch(bytesOf(last), bytesOf(change), bytesOf(from), meta, true)
		if err != nil {
			return nil
		}
		return patch
	}
	r.putNulls(change)
	r.putDirectives(change)
	return bytesOf(change)
}

func (r *random) putDirectives(o object) {
	keys := []string{}
	for key := range o {
		keys = append(keys, key)
	}
	sort.Strings(keys)
	for _, key := range keys {
		switch inner := o[key].(type) {
		case object:
			r.putDirectives(inner)
			if r.chance(4) {
				inner["$patch"] = r.of("replace", "delete", "merge")
			}
			if r.chance(3) {
				keep := list{}
				for name := range inner {
					keep = append(keep, name)
				}
				sort.Slice(keep, func(i, j int) bool { return keep[i].(string) < keep[j].(string) })
				inner["$retainKeys"] = keep
			}
		case list:
			order := list{}
			for _, element := range inner {
				if typed, ok := element.(object); ok {
					r.putDirectives(typed)
					if r.chance(10) {
						typed["$patch"] = r.of("delete", "delete", "replace")
					}
					item := object{}
					for _, mergeKey := range []string{"name", "containerPort", "mountPath", "ip", "port", "uid", "topologyKey", "type"} {
						if value, ok := typed[mergeKey]; ok {
							item[mergeKey] = value
						}
					}
					order = append(order, item)
				} else {
					order = append(order, element)
				}
			}
			if r.chance(15) {
				r.Shuffle(len(order), func(i, j int) { order[i], order[j] = order[j], order[i] })
				o["$setElementOrder/"+key] = order
				if r.chance(40) {
					delete(o, key)
				}
			}
			if (key == "finalizers" || key == "hostnames" || key == "externalIPs") && r.chance(40) {
				o["$deleteFromPrimitiveList/"+key] = inner
				delete(o, key)
			}
		}
	}
}
