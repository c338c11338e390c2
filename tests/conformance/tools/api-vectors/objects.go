// SPDX-License-Identifier: Apache-2.0
package main

import (
	"fmt"
	"math/rand"
	"sort"

	utiljson "k8s.io/apimachinery/pkg/util/json"
)

func unmarshal(text []byte, out any) error { return utiljson.Unmarshal(text, out) }

// random draws from few names, so that two objects have much in common.
type random struct{ *rand.Rand }

func (r *random) chance(percent int) bool   { return r.Intn(100) < percent }
func (r *random) of(words ...string) string { return words[r.Intn(len(words))] }
func (r *random) maybe(o object, key string, percent int, value func() any) {
	if r.chance(percent) {
		o[key] = value()
	}
}

func (r *random) words(most int, words ...string) list {
	out := list{}
	for _, i := range r.Perm(len(words))[:r.Intn(most+1)] {
		out = append(out, words[i])
	}
	return out
}

func (r *random) labels() any {
	out := object{}
	for n := r.Intn(4); n > 0; n-- {
		out[r.of("app", "tier", "x", "example.com/y")] = r.of("a", "b", "c")
	}
	return out
}

// each makes up to `most` elements with different names.
func (r *random) each(most int, names []string, make func(name string) object) any {
	out := list{}
	for _, i := range r.Perm(len(names))[:r.Intn(most+1)] {
		out = append(out, make(names[i]))
	}
	return out
}

func (r *random) metadata() object {
	out := object{"name": "n", "namespace": "default"}
	r.maybe(out, "labels", 60, r.labels)
	r.maybe(out, "annotations", 40, r.labels)
	r.maybe(out, "finalizers", 25, func() any { return r.words(3, "a/a", "b/b", "c/c") })
	r.maybe(out, "ownerReferences", 15, func() any {
		return r.each(2, []string{"u1", "u2"}, func(uid string) object {
			return object{"apiVersion": "v1", "kind": "Node", "name": r.of("n1", "n2"), "uid": uid}
		})
	})
	return out
}

func (r *random) quantities() any {
	out := object{}
	for n := r.Intn(3); n > 0; n-- {
		out[r.of("cpu", "memory", "example.com/gpu")] = r.of("1", "500m", "2Gi", "1000m")
	}
	return out
}

func (r *random) container(name string) object {
	out := object{"name": name}
	r.maybe(out, "image", 70, func() any { return r.of("i:1", "i:2", "j") })
	r.maybe(out, "command", 20, func() any { return r.words(2, "sh", "-c", "true") })
	r.maybe(out, "env", 40, func() any {
		return r.each(3, []string{"A", "B", "C", "D"}, func(name string) object {
			if r.chance(20) {
				return object{"name": name, "valueFrom": object{"fieldRef": object{"fieldPath": "metadata.name"}}}
			}
			return object{"name": name, "value": r.of("1", "2", "3")}
		})
	})
	r.maybe(out, "ports", 40, func() any {
		return r.each(3, []string{"80", "9", "443"}, func(port string) object {
			var number int64
			fmt.Sscan(port, &number)
			out := object{"containerPort": number}
			r.maybe(out, "protocol", 60, func() any { return r.of("TCP", "UDP") })
			r.maybe(out, "name", 40, func() any { return "p" + port })
			return out
		})
	})
	r.maybe(out, "resources", 30, func() any {
		out := object{}
		r.maybe(out, "limits", 60, r.quantities)
		r.maybe(out, "requests", 60, r.quantities)
		return out
	})
	r.maybe(out, "volumeMounts", 30, func() any {
		return r.each(2, []string{"/a", "/b", "/c"}, func(path string) object {
			return object{"mountPath": path, "name": r.of("v", "w")}
		})
	})
	r.maybe(out, "securityContext", 15, func() any {
		return object{"runAsUser": int64(r.Intn(2)), "capabilities": object{"add": r.words(2, "A", "B")}}
	})
	return out
}

func (r *random) podSpec() any {
	// Never empty: Go tells an empty list from none, and upstream stores both as none.
	containers := r.each(3, []string{"a", "b", "c"}, r.container).(list)
	if len(containers) == 0 {
		containers = list{r.container("a")}
	}
	out := object{"containers": containers}
	r.maybe(out, "initContainers", 15, func() any { return r.each(1, []string{"i"}, r.container) })
	r.maybe(out, "volumes", 40, func() any {
		return r.each(3, []string{"v", "w", "x"}, func(name string) object {
			out := object{"name": name}
			switch r.Intn(3) {
			case 0:
				out["emptyDir"] = object{}
			case 1:
				out["configMap"] = object{"name": r.of("c", "d"), "defaultMode": int64(420)}
			default:
				out["hostPath"] = object{"path": r.of("/h", "/i")}
			}
			return out
		})
	})
	r.maybe(out, "restartPolicy", 30, func() any { return r.of("Always", "Never") })
	r.maybe(out, "nodeName", 20, func() any { return r.of("n1", "n2") })
	r.maybe(out, "nodeSelector", 20, r.labels)
	r.maybe(out, "hostNetwork", 15, func() any { return r.chance(50) })
	r.maybe(out, "terminationGracePeriodSeconds", 20, func() any { return int64(r.Intn(3)) })
	r.maybe(out, "tolerations", 20, func() any {
		return r.each(2, []string{"k1", "k2"}, func(key string) object {
			return object{"key": key, "operator": r.of("Exists", "Equal")}
		})
	})
	r.maybe(out, "hostAliases", 20, func() any {
		return r.each(2, []string{"1.1.1.1", "2.2.2.2"}, func(ip string) object {
			return object{"ip": ip, "hostnames": r.words(2, "h", "g")}
		})
	})
	r.maybe(out, "imagePullSecrets", 20, func() any {
		return r.each(2, []string{"s1", "s2"}, func(name string) object { return object{"name": name} })
	})
	r.maybe(out, "topologySpreadConstraints", 15, func() any {
		return r.each(2, []string{"zone", "host"}, func(key string) object {
			return object{"topologyKey": key, "maxSkew": int64(r.Intn(2) + 1),
				"whenUnsatisfiable": r.of("DoNotSchedule", "ScheduleAnyway"), "labelSelector": object{"matchLabels": r.labels()}}
		})
	})
	r.maybe(out, "securityContext", 15, func() any { return object{"fsGroup": int64(r.Intn(3))} })
	return out
}

func (r *random) conditions() any {
	return r.each(2, []string{"Ready", "Available"}, func(kind string) object {
		return object{"type": kind, "status": r.of("True", "False")}
	})
}

var kinds = []string{"Pod", "Deployment", "Service", "ConfigMap"}

func versionOf(kind string) string {
	if kind == "Deployment" {
		return "apps/v1"
	}
	return "v1"
}

func (r *random) object(kind string) object {
	out := object{"apiVersion": versionOf(kind), "kind": kind, "metadata": r.metadata()}
	switch kind {
	case "Pod":
		out["spec"] = r.podSpec()
		r.maybe(out, "status", 30, func() any { return object{"phase": r.of("Running", "Failed"), "conditions": r.conditions()} })
	case "Deployment":
		spec := object{"selector": object{"matchLabels": r.labels()},
			"template": object{"metadata": object{"labels": r.labels()}, "spec": r.podSpec()}}
		r.maybe(spec, "replicas", 60, func() any { return int64(r.Intn(3)) })
		r.maybe(spec, "strategy", 40, func() any {
			if r.chance(50) {
				return object{"type": "Recreate"}
			}
			return object{"type": "RollingUpdate", "rollingUpdate": object{"maxSurge": int64(r.Intn(2)), "maxUnavailable": r.of("25%", "1")}}
		})
		out["spec"] = spec
		r.maybe(out, "status", 20, func() any { return object{"replicas": int64(r.Intn(3)), "conditions": r.conditions()} })
	case "Service":
		spec := object{}
		r.maybe(spec, "selector", 60, r.labels)
		r.maybe(spec, "ports", 70, func() any {
			return r.each(3, []string{"80", "81", "443"}, func(port string) object {
				var number int64
				fmt.Sscan(port, &number)
				out := object{"port": number}
				r.maybe(out, "protocol", 50, func() any { return r.of("TCP", "UDP") })
				r.maybe(out, "name", 50, func() any { return "p" + port })
				r.maybe(out, "targetPort", 50, func() any { return r.of("http", "x") })
				return out
			})
		})
		r.maybe(spec, "type", 30, func() any { return r.of("ClusterIP", "NodePort") })
		r.maybe(spec, "externalIPs", 20, func() any { return r.words(2, "1.1.1.1", "2.2.2.2") })
		out["spec"] = spec
	case "ConfigMap":
		r.maybe(out, "data", 80, r.labels)
		r.maybe(out, "immutable", 20, func() any { return r.chance(50) })
	}
	return out
}

// mixed has some of either, so that much stays as it was and something changes everywhere.
func (r *random) mixed(a, b any) any {
	left, ok := a.(object)
	right, ok2 := b.(object)
	if !ok || !ok2 {
		if r.chance(70) {
			return a
		}
		return b
	}
	keys := []string{}
	for key := range left {
		keys = append(keys, key)
	}
	for key := range right {
		if _, known := left[key]; !known {
			keys = append(keys, key)
		}
	}
	sort.Strings(keys)
	out := object{}
	for _, key := range keys {
		x, inA := left[key]
		y, inB := right[key]
		switch {
		case inA && inB:
			out[key] = r.mixed(x, y)
		case inA && r.chance(85), inB && r.chance(25):
			if inA {
				out[key] = x
			} else {
				out[key] = y
			}
		}
	}
	return out
}

// changed is the object with some changes, of the same name and kind.
func (r *random) changed(kind string, from object) object {
	out := r.mixed(copied(from), r.object(kind)).(object)
	out["apiVersion"], out["kind"] = versionOf(kind), kind
	metadata, _ := out["metadata"].(object)
	if metadata == nil {
		metadata = object{}
		out["metadata"] = metadata
	}
	metadata["name"], metadata["namespace"] = "n", "default"
	return out
}

// putDuplicates has an element or two stand twice, as only old objects and careless updates have them.
func (r *random) putDuplicates(value any) {
	from, ok := value.(object)
	if !ok {
		return
	}
	keys := []string{}
	for key := range from {
		keys = append(keys, key)
	}
	sort.Strings(keys)
	for _, key := range keys {
		elements, ok := from[key].(list)
		if !ok {
			r.putDuplicates(from[key])
			continue
		}
		for _, element := range elements {
			r.putDuplicates(element)
		}
		if len(elements) > 0 && r.chance(15) {
			from[key] = append(elements, copied(elements[r.Intn(len(elements))]))
		}
	}
}
