// SPDX-License-Identifier: Apache-2.0
package main

import (
	"encoding/json"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/managedfields"
	"k8s.io/client-go/applyconfigurations"
	"k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/structured-merge-diff/v6/fieldpath"
)

// oneVersion converts between the forms of one version, which is all that these kinds have.
type oneVersion struct{ runtime.ObjectConvertor }

func (oneVersion) ConvertToVersion(in runtime.Object, target runtime.GroupVersioner) (runtime.Object, error) {
	if dynamic, ok := in.(*unstructured.Unstructured); ok {
		out, err := scheme.Scheme.New(in.GetObjectKind().GroupVersionKind())
		if err != nil {
			return nil, err
		}
		if err := runtime.DefaultUnstructuredConverter.FromUnstructured(dynamic.Object, out); err != nil {
			return nil, err
		}
		return out, nil
	}
	kinds, _, err := scheme.Scheme.ObjectKinds(in)
	if err != nil {
		return nil, err
	}
	out := in.DeepCopyObject()
	out.GetObjectKind().SetGroupVersionKind(kinds[0])
	return out, nil
}

type noDefaults struct{}

func (noDefaults) Default(runtime.Object) {}

var converter = applyconfigurations.NewTypeConverter(scheme.Scheme)

func managerOf(kind, subresource string) *managedfields.FieldManager {
	gv, _ := schema.ParseGroupVersion(versionOf(kind))
	version := fieldpath.APIVersion(gv.String())
	reset := fieldpath.NewSet()
	if kind != "ConfigMap" {
		reset.Insert(fieldpath.MakePathOrDie("status"))
		if subresource == "status" {
			reset = fieldpath.NewSet(fieldpath.MakePathOrDie("spec"))
		}
	}
	filters := map[fieldpath.APIVersion]fieldpath.Filter{version: fieldpath.NewExcludeSetFilter(reset)}
	manager, err := managedfields.NewDefaultFieldManager(converter, oneVersion{}, noDefaults{}, scheme.Scheme,
		gv.WithKind(kind), gv, subresource, filters)
	if err != nil {
		panic(err)
	}
	return manager
}

func decoded(kind string, from object) (runtime.Object, error) {
	out, err := scheme.Scheme.New(schema.FromAPIVersionAndKind(versionOf(kind), kind))
	if err != nil {
		return nil, err
	}
	return out, json.Unmarshal(bytesOf(from), out)
}

func encoded(kind string, from runtime.Object) object {
	from.GetObjectKind().SetGroupVersionKind(schema.FromAPIVersionAndKind(versionOf(kind), kind))
	var out object
	if err := unmarshal(bytesOf(from), &out); err != nil {
		panic(err)
	}
	return out
}

// withoutTimes says only which entries have one.
func withoutTimes(o object) object {
	out := copied(o)
	metadata := out["metadata"].(object)
	if entries, ok := metadata["managedFields"].(list); ok {
		for _, entry := range entries {
			if _, ok := entry.(object)["time"]; ok {
				entry.(object)["time"] = "2026-01-01T00:00:00Z"
			}
		}
	}
	return out
}

func story(r *random) any {
	kind := kinds[r.Intn(len(kinds))]
	steps := list{}
	var live object
	first := r.object(kind)
	applied := map[string]object{}
	most, managers := 5, []string{"kubectl", "kubectl-edit", "ctl", "m1", "m2"}
	if r.chance(5) {
		// Enough of them that the oldest are put together.
		most = 20
		for i := range 15 {
			managers = append(managers, fmt.Sprint("u", i))
		}
	}
	for n := r.Intn(most) + 2; n > 0; n-- {
		step := object{"manager": r.of(managers...), "subresource": "", "force": false}
		if r.chance(15) && kind != "ConfigMap" && live != nil {
			step["subresource"] = "status"
		}
		current, err := scheme.Scheme.New(schema.FromAPIVersionAndKind(versionOf(kind), kind))
		if err != nil {
			panic(err)
		}
		current.GetObjectKind().SetGroupVersionKind(schema.FromAPIVersionAndKind(versionOf(kind), kind))
		if live != nil {
			if current, err = decoded(kind, live); err != nil {
				return nil
			}
		}
		fields := managerOf(kind, step["subresource"].(string))
		name := step["manager"].(string)
		var result runtime.Object
		if r.chance(60) {
			step["op"] = "apply"
			step["force"] = r.chance(40)
			base := first
			if last, ok := applied[name]; ok && r.chance(70) {
				base = last
			}
			input := copied(r.changed(kind, base))
			if r.chance(50) {
				input = copied(r.object(kind))
			}
			if r.chance(3) {
				input["wrong"] = "x"
			}
			applied[name] = input
			step["input"] = input
			result, err = fields.Apply(current, &unstructured.Unstructured{Object: copied(input)}, name, step["force"].(bool))
		} else {
			step["op"] = "update"
			base := first
			if live != nil {
				base = live
			}
			input := copied(r.changed(kind, base))
			metadata := input["metadata"].(object)
			if r.chance(10) {
				last := r.changed(kind, input)
				delete(last["metadata"].(object), "managedFields")
				delete(last, "status")
				metadata["annotations"] = object{"kubectl.kubernetes.io/last-applied-configuration": string(bytesOf(last))}
			}
			if r.chance(10) {
				r.putDuplicates(input)
			}
			if live != nil {
				metadata["uid"] = "u"
				managed := live["metadata"].(object)["managedFields"]
				switch {
				case managed == nil || r.chance(20):
					delete(metadata, "managedFields")
				case r.chance(5):
					metadata["managedFields"] = list{object{}}
				default:
					metadata["managedFields"] = managed
				}
			}
			updated, decodeErr := decoded(kind, input)
			if decodeErr != nil {
				return nil
			}
			step["input"] = withoutTimes(encoded(kind, updated))
			result = fields.UpdateNoErrors(current, updated, name)
		}
		if err != nil {
			step["error"] = err.Error()
			if status, ok := err.(apierrors.APIStatus); ok && apierrors.IsConflict(err) {
				causes := list{}
				for _, cause := range status.Status().Details.Causes {
					if cause.Type != metav1.CauseTypeFieldManagerConflict {
						panic(fmt.Sprint("cause ", cause.Type))
					}
					causes = append(causes, object{"message": cause.Message, "field": cause.Field})
				}
				step["causes"] = causes
			}
			steps = append(steps, step)
			continue
		}
		access, err := meta.Accessor(result)
		if err != nil {
			panic(err)
		}
		access.SetUID("u")
		live = withoutTimes(encoded(kind, result))
		step["want"] = live
		steps = append(steps, step)
	}
	return object{"kind": kind, "steps": steps}
}
