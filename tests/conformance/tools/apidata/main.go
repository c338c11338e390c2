// SPDX-License-Identifier: Apache-2.0

// Makes src/api/testdata/presence.tsv: for each kind whose fixture stands in the folder that is named, documents with
// fields left out, empty, zero and null, and what upstream's own types make of them.
//
//	go run . ../../../../src/api/testdata > ../../../../src/api/testdata/presence.tsv
//
// Columns: kind and variant, the document, upstream's protobuf with its envelope in base64, and what upstream's JSON is
// of what it has stored so (where a list that was empty is null).
package main

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"regexp"
	"sort"
	"strings"

	discovery "k8s.io/api/apidiscovery/v2"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	jsonserializer "k8s.io/apimachinery/pkg/runtime/serializer/json"
	"k8s.io/apimachinery/pkg/runtime/serializer/protobuf"
	utilruntime "k8s.io/apimachinery/pkg/util/runtime"

	apps "k8s.io/api/apps/v1"
	authentication "k8s.io/api/authentication/v1"
	authorization "k8s.io/api/authorization/v1"
	autoscaling1 "k8s.io/api/autoscaling/v1"
	autoscaling2 "k8s.io/api/autoscaling/v2"
	batch "k8s.io/api/batch/v1"
	certificates "k8s.io/api/certificates/v1"
	coordination "k8s.io/api/coordination/v1"
	core "k8s.io/api/core/v1"
	slices "k8s.io/api/discovery/v1"
	events "k8s.io/api/events/v1"
	networking "k8s.io/api/networking/v1"
	node "k8s.io/api/node/v1"
	policy "k8s.io/api/policy/v1"
	rbac "k8s.io/api/rbac/v1"
	scheduling "k8s.io/api/scheduling/v1"
	storage "k8s.io/api/storage/v1"
)

var (
	isTime     = regexp.MustCompile(`^\d{4}-\d\d-\d\dT`)
	isQuantity = regexp.MustCompile(`^\d+$`)
)

// A variant takes a value of the fixture, and says what stands in its place; false: nothing.
type variant func(value any) (any, bool)

func object(o map[string]any, change variant) map[string]any {
	out := map[string]any{}
	for key, value := range o {
		if changed, ok := change(value); ok {
			out[key] = changed
		}
	}
	return out
}

func isMap(o map[string]any) bool {
	for key := range o {
		return len(o) == 1 && strings.HasSuffix(key, "Key")
	}
	return false
}

// Structs are there, and what is in them is not.
func empty(value any) (any, bool) {
	switch v := value.(type) {
	case []any:
		return []any{}, true
	case map[string]any:
		if isMap(v) {
			return map[string]any{}, true
		}
		return object(v, empty), true
	}
	return nil, false
}

func each(list []any, change variant) []any {
	out := []any{}
	for _, value := range list {
		if changed, ok := change(value); ok {
			out = append(out, changed)
		}
	}
	return out
}

func zero(value any) (any, bool) {
	switch v := value.(type) {
	case []any:
		return each(v, zero), true
	case map[string]any:
		return object(v, zero), true
	case string:
		if isTime.MatchString(v) {
			return nil, true
		}
		if isQuantity.MatchString(v) {
			return "0", true
		}
		return "", true
	case bool:
		return false, true
	}
	return 0, true
}

// Scalars are null, lists and structs are there.
func nulls(value any) (any, bool) {
	switch v := value.(type) {
	case []any:
		return each(v, nulls), true
	case map[string]any:
		return object(v, nulls), true
	}
	return nil, true
}

// All that stands in a list is null, and so is every struct in a struct.
func nullElements(value any) (any, bool) {
	switch v := value.(type) {
	case []any:
		return []any{nil}, true
	case map[string]any:
		return object(v, func(value any) (any, bool) {
			if list, ok := value.([]any); ok && len(list) > 0 {
				return []any{nil}, true
			}
			return nil, true
		}), true
	}
	return nil, true
}

func emptyElements(value any) (any, bool) {
	switch v := value.(type) {
	case []any:
		if len(v) > 0 {
			if _, ok := v[0].(map[string]any); ok {
				return []any{map[string]any{}}, true
			}
		}
		return []any{}, true
	case map[string]any:
		return object(v, emptyElements), true
	}
	return nil, false
}

func absent(any) (any, bool) { return nil, false }

var variants = []struct {
	name   string
	change variant
}{{"absent", absent}, {"empty", empty}, {"zero", zero}, {"null", nulls}, {"null-elements", nullElements}, {"empty-elements", emptyElements}}

func scheme() *runtime.Scheme {
	s := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{
		apps.AddToScheme, authentication.AddToScheme, authorization.AddToScheme, autoscaling1.AddToScheme,
		autoscaling2.AddToScheme, batch.AddToScheme, certificates.AddToScheme, coordination.AddToScheme,
		core.AddToScheme, slices.AddToScheme, discovery.AddToScheme, events.AddToScheme, networking.AddToScheme,
		node.AddToScheme, policy.AddToScheme, rbac.AddToScheme, scheduling.AddToScheme, storage.AddToScheme,
	} {
		utilruntime.Must(add(s))
	}
	v1 := schema.GroupVersion{Version: "v1"}
	metav1.AddToGroupVersion(s, v1)
	s.AddKnownTypes(v1, &metav1.APIGroup{}, &metav1.APIVersions{}, &metav1.Status{})
	return s
}

// Pods have a line of their own: their spec is left out of templates.
func prune(o map[string]any) {
	for key, value := range o {
		inner, ok := value.(map[string]any)
		if !ok {
			continue
		}
		if key == "template" {
			delete(inner, "spec")
		}
		prune(inner)
	}
}

func compact(data []byte) string {
	var out bytes.Buffer
	if err := json.Compact(&out, data); err != nil {
		log.Fatal(err)
	}
	return out.String()
}

func main() {
	fixtures, err := filepath.Glob(filepath.Join(os.Args[1], "*.json"))
	if err != nil {
		log.Fatal(err)
	}
	sort.Strings(fixtures)
	s := scheme()
	toJSON := jsonserializer.NewSerializerWithOptions(jsonserializer.DefaultMetaFactory, s, s, jsonserializer.SerializerOptions{})
	toProtobuf := protobuf.NewSerializer(s, s)
	for _, path := range fixtures {
		text, err := os.ReadFile(path)
		if err != nil {
			log.Fatal(err)
		}
		var fixture map[string]any
		if err := json.Unmarshal(text, &fixture); err != nil {
			log.Fatal(err)
		}
		name := strings.TrimSuffix(filepath.Base(path), ".json")
		if fixture["kind"] == nil {
			continue // WatchEvent is no kind in JSON
		}
		kind, version := fixture["kind"], fixture["apiVersion"]
		delete(fixture, "kind")
		delete(fixture, "apiVersion")
		if name != "core.v1.Pod" && name != "core.v1.ConfigMap" {
			delete(fixture, "metadata") // the same everywhere
		}
		prune(fixture)
		for _, v := range variants {
			document := object(fixture, v.change)
			if strings.HasPrefix(v.name, "null") {
				// Bytes that are null in a map: upstream leaves their value out of the entry, which C++'s protobuf can't, and
				// reads both as empty.
				for _, key := range []string{"data", "binaryData"} {
					if values, ok := fixture[key].(map[string]any); ok && (name == "core.v1.Secret" || key == "binaryData") {
						document[key] = values
					}
				}
			}
			document["kind"], document["apiVersion"] = kind, version
			sent, err := json.Marshal(document)
			if err != nil {
				log.Fatal(err)
			}
			decoded, _, err := toJSON.Decode(sent, nil, nil)
			if err != nil {
				log.Printf("%s %s: %v", name, v.name, err)
				continue
			}
			var asJSON, asProtobuf bytes.Buffer
			if err := toProtobuf.Encode(decoded, &asProtobuf); err != nil {
				log.Fatal(name, err)
			}
			stored, _, err := toProtobuf.Decode(asProtobuf.Bytes(), nil, nil)
			if err != nil {
				log.Fatal(name, err)
			}
			if err := toJSON.Encode(stored, &asJSON); err != nil {
				log.Fatal(name, err)
			}
			fmt.Printf("%s %s\t%s\t%s\t%s\n", name, v.name, sent, base64.StdEncoding.EncodeToString(asProtobuf.Bytes()), compact(asJSON.Bytes()))
		}
	}
}
