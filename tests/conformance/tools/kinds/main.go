// SPDX-License-Identifier: Apache-2.0
// Says what upstream's API server makes of objects: kinds FILE.yaml > FILE.answers.json. Each document of the file is a
// question {op, object, old}; each answer is {object, errors, cells}: the object with its defaults and prepared for
// storage, the causes of a refusal, and the row that kubectl get would show. op: default (and nothing else), create,
// update, or update/SUBRESOURCE.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"log"
	"os"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	genericapirequest "k8s.io/apiserver/pkg/endpoints/request"
	"k8s.io/apiserver/pkg/registry/rest"
	"k8s.io/kubernetes/pkg/api/legacyscheme"
	_ "k8s.io/kubernetes/pkg/apis/apps/install"
	_ "k8s.io/kubernetes/pkg/apis/autoscaling/install"
	_ "k8s.io/kubernetes/pkg/apis/batch/install"
	_ "k8s.io/kubernetes/pkg/apis/certificates/install"
	_ "k8s.io/kubernetes/pkg/apis/coordination/install"
	_ "k8s.io/kubernetes/pkg/apis/core/install"
	_ "k8s.io/kubernetes/pkg/apis/discovery/install"
	_ "k8s.io/kubernetes/pkg/apis/events/install"
	_ "k8s.io/kubernetes/pkg/apis/networking/install"
	_ "k8s.io/kubernetes/pkg/apis/node/install"
	_ "k8s.io/kubernetes/pkg/apis/policy/install"
	_ "k8s.io/kubernetes/pkg/apis/rbac/install"
	_ "k8s.io/kubernetes/pkg/apis/scheduling/install"
	_ "k8s.io/kubernetes/pkg/apis/storage/install"
	"k8s.io/kubernetes/pkg/printers"
	printersinternal "k8s.io/kubernetes/pkg/printers/internalversion"
	printerstorage "k8s.io/kubernetes/pkg/printers/storage"

	"k8s.io/kubernetes/pkg/registry/apps/controllerrevision"
	"k8s.io/kubernetes/pkg/registry/apps/daemonset"
	"k8s.io/kubernetes/pkg/registry/apps/deployment"
	"k8s.io/kubernetes/pkg/registry/apps/replicaset"
	"k8s.io/kubernetes/pkg/registry/apps/statefulset"
	"k8s.io/kubernetes/pkg/registry/autoscaling/horizontalpodautoscaler"
	"k8s.io/kubernetes/pkg/registry/batch/cronjob"
	"k8s.io/kubernetes/pkg/registry/batch/job"
	"k8s.io/kubernetes/pkg/registry/certificates/certificates"
	"k8s.io/kubernetes/pkg/registry/coordination/lease"
	"k8s.io/kubernetes/pkg/registry/core/configmap"
	"k8s.io/kubernetes/pkg/registry/core/endpoint"
	"k8s.io/kubernetes/pkg/registry/core/event"
	"k8s.io/kubernetes/pkg/registry/core/limitrange"
	"k8s.io/kubernetes/pkg/registry/core/namespace"
	"k8s.io/kubernetes/pkg/registry/core/node"
	"k8s.io/kubernetes/pkg/registry/core/persistentvolume"
	"k8s.io/kubernetes/pkg/registry/core/persistentvolumeclaim"
	"k8s.io/kubernetes/pkg/registry/core/pod"
	"k8s.io/kubernetes/pkg/registry/core/podtemplate"
	"k8s.io/kubernetes/pkg/registry/core/replicationcontroller"
	"k8s.io/kubernetes/pkg/registry/core/resourcequota"
	"k8s.io/kubernetes/pkg/registry/core/secret"
	"k8s.io/kubernetes/pkg/registry/core/service"
	"k8s.io/kubernetes/pkg/registry/core/serviceaccount"
	"k8s.io/kubernetes/pkg/registry/discovery/endpointslice"
	"k8s.io/kubernetes/pkg/registry/networking/ingress"
	"k8s.io/kubernetes/pkg/registry/networking/ingressclass"
	"k8s.io/kubernetes/pkg/registry/networking/ipaddress"
	"k8s.io/kubernetes/pkg/registry/networking/networkpolicy"
	"k8s.io/kubernetes/pkg/registry/networking/servicecidr"
	"k8s.io/kubernetes/pkg/registry/node/runtimeclass"
	"k8s.io/kubernetes/pkg/registry/policy/poddisruptionbudget"
	"k8s.io/kubernetes/pkg/registry/rbac/clusterrole"
	"k8s.io/kubernetes/pkg/registry/rbac/clusterrolebinding"
	"k8s.io/kubernetes/pkg/registry/rbac/role"
	"k8s.io/kubernetes/pkg/registry/rbac/rolebinding"
	"k8s.io/kubernetes/pkg/registry/scheduling/priorityclass"
	"k8s.io/kubernetes/pkg/registry/storage/csidriver"
	"k8s.io/kubernetes/pkg/registry/storage/csinode"
	"k8s.io/kubernetes/pkg/registry/storage/csistoragecapacity"
	"k8s.io/kubernetes/pkg/registry/storage/storageclass"
	"k8s.io/kubernetes/pkg/registry/storage/volumeattachment"
	"k8s.io/kubernetes/pkg/registry/storage/volumeattributesclass"
	"sigs.k8s.io/yaml"
)

type strategies map[string]any

// By kind, and "Kind/subresource".
var all = strategies{
	"ControllerRevision":                 controllerrevision.Strategy,
	"DaemonSet":                          daemonset.Strategy,
	"DaemonSet/status":                   daemonset.StatusStrategy,
	"Deployment":                         deployment.Strategy,
	"Deployment/status":                  deployment.StatusStrategy,
	"ReplicaSet":                         replicaset.Strategy,
	"ReplicaSet/status":                  replicaset.StatusStrategy,
	"StatefulSet":                        statefulset.Strategy,
	"StatefulSet/status":                 statefulset.StatusStrategy,
	"HorizontalPodAutoscaler":            horizontalpodautoscaler.Strategy,
	"HorizontalPodAutoscaler/status":     horizontalpodautoscaler.StatusStrategy,
	"CronJob":                            cronjob.Strategy,
	"CronJob/status":                     cronjob.StatusStrategy,
	"Job":                                job.Strategy,
	"Job/status":                         job.StatusStrategy,
	"CertificateSigningRequest":          certificates.Strategy,
	"CertificateSigningRequest/status":   certificates.StatusStrategy,
	"CertificateSigningRequest/approval": certificates.ApprovalStrategy,
	"Lease":                              lease.Strategy,
	"ConfigMap":                          configmap.Strategy,
	"Endpoints":                          endpoint.Strategy,
	"Event":                              event.Strategy,
	"LimitRange":                         limitrange.Strategy,
	"Namespace":                          namespace.Strategy,
	"Namespace/status":                   namespace.StatusStrategy,
	"Namespace/finalize":                 namespace.FinalizeStrategy,
	"Node":                               node.Strategy,
	"Node/status":                        node.StatusStrategy,
	"PersistentVolume":                   persistentvolume.Strategy,
	"PersistentVolume/status":            persistentvolume.StatusStrategy,
	"PersistentVolumeClaim":              persistentvolumeclaim.Strategy,
	"PersistentVolumeClaim/status":       persistentvolumeclaim.StatusStrategy,
	"Pod":                                pod.Strategy,
	"Pod/status":                         pod.StatusStrategy,
	"Pod/ephemeralcontainers":            pod.EphemeralContainersStrategy,
	"Pod/resize":                         pod.ResizeStrategy,
	"PodTemplate":                        podtemplate.Strategy,
	"ReplicationController":              replicationcontroller.Strategy,
	"ReplicationController/status":       replicationcontroller.StatusStrategy,
	"ResourceQuota":                      resourcequota.Strategy,
	"ResourceQuota/status":               resourcequota.StatusStrategy,
	"Secret":                             secret.Strategy,
	"Service":                            service.Strategy,
	"Service/status":                     service.StatusStrategy,
	"ServiceAccount":                     serviceaccount.Strategy,
	"EndpointSlice":                      endpointslice.Strategy,
	"Ingress":                            ingress.Strategy,
	"Ingress/status":                     ingress.StatusStrategy,
	"IngressClass":                       ingressclass.Strategy,
	"IPAddress":                          ipaddress.Strategy,
	"NetworkPolicy":                      networkpolicy.Strategy,
	"ServiceCIDR":                        servicecidr.Strategy,
	"ServiceCIDR/status":                 servicecidr.StatusStrategy,
	"RuntimeClass":                       runtimeclass.Strategy,
	"PodDisruptionBudget":                poddisruptionbudget.Strategy,
	"PodDisruptionBudget/status":         poddisruptionbudget.StatusStrategy,
	"ClusterRole":                        clusterrole.Strategy,
	"ClusterRoleBinding":                 clusterrolebinding.Strategy,
	"Role":                               role.Strategy,
	"RoleBinding":                        rolebinding.Strategy,
	"PriorityClass":                      priorityclass.Strategy,
	"CSIDriver":                          csidriver.Strategy,
	"CSINode":                            csinode.Strategy,
	"CSIStorageCapacity":                 csistoragecapacity.Strategy,
	"StorageClass":                       storageclass.Strategy,
	"VolumeAttachment":                   volumeattachment.Strategy,
	"VolumeAttachment/status":            volumeattachment.StatusStrategy,
	"VolumeAttributesClass":              volumeattributesclass.Strategy,
}

type question struct {
	Op     string          `json:"op"`
	Object json.RawMessage `json:"object"`
	Old    json.RawMessage `json:"old"`
}

type cause struct {
	Type  string `json:"type"`
	Field string `json:"field"`
}

type answer struct {
	Object  json.RawMessage `json:"object,omitempty"`
	Errors  []cause         `json:"errors,omitempty"`
	Failure string          `json:"failure,omitempty"`
	Cells   []any           `json:"cells,omitempty"`
}

func decode(text []byte) (runtime.Object, *schema.GroupVersionKind, error) {
	return legacyscheme.Codecs.UniversalDecoder().Decode(text, nil, nil)
}

func causes(err error, out *answer) {
	status, ok := err.(apierrors.APIStatus)
	if !ok {
		out.Failure = err.Error()
		return
	}
	details := status.Status().Details
	if details == nil || len(details.Causes) == 0 {
		out.Failure = fmt.Sprint(status.Status().Reason, ": ", err.Error())
		return
	}
	for _, c := range details.Causes {
		out.Errors = append(out.Errors, cause{string(c.Type), c.Field})
	}
}

var tables = printerstorage.TableConvertor{TableGenerator: printers.NewTableGenerator().With(printersinternal.AddHandlers)}

func consider(q question) (out answer) {
	defer func() {
		if r := recover(); r != nil {
			out.Failure = fmt.Sprint("panic: ", r)
		}
	}()
	object, kind, err := decode(q.Object)
	if err != nil {
		out.Failure = err.Error()
		return
	}
	verb, subresource, _ := strings.Cut(q.Op, "/")
	name := kind.Kind
	if subresource != "" {
		name += "/" + subresource
	}
	strategy, ok := all[name]
	if !ok {
		out.Failure = "no strategy for " + name
		return
	}
	accessor, _ := meta.Accessor(object)
	ctx := genericapirequest.WithNamespace(context.Background(), accessor.GetNamespace())
	plural, _ := meta.UnsafeGuessKindToResource(*kind)
	ctx = genericapirequest.WithRequestInfo(ctx, &genericapirequest.RequestInfo{
		IsResourceRequest: true, Verb: verb, APIGroup: kind.Group, APIVersion: kind.Version,
		Resource: plural.Resource, Subresource: subresource, Name: accessor.GetName(), Namespace: accessor.GetNamespace()})
	switch verb {
	case "default":
	case "create":
		rest.FillObjectMetaSystemFields(accessor)
		err = rest.BeforeCreate(strategy.(rest.RESTCreateStrategy), ctx, object)
	case "update":
		old, _, e := decode(q.Old)
		if e != nil {
			out.Failure = e.Error()
			return
		}
		err = rest.BeforeUpdate(strategy.(rest.RESTUpdateStrategy), ctx, object, old)
	}
	if err != nil {
		causes(err, &out)
	}
	info, _ := runtime.SerializerInfoForMediaType(legacyscheme.Codecs.SupportedMediaTypes(), "application/json")
	text, err := runtime.Encode(legacyscheme.Codecs.EncoderForVersion(info.Serializer, kind.GroupVersion()), object)
	if err != nil {
		out.Failure = err.Error()
	} else {
		// What a client gets was stored, read and defaulted again.
		if again, _, e := decode(text); verb != "default" && e == nil {
			text, _ = runtime.Encode(legacyscheme.Codecs.EncoderForVersion(info.Serializer, kind.GroupVersion()), again)
		}
		out.Object = json.RawMessage(strings.TrimSpace(string(text)))
	}
	table, err := tables.ConvertToTable(ctx, object, nil)
	if err == nil {
		for _, r := range table.Rows {
			out.Cells = append(out.Cells, r.Cells...)
		}
	}
	return
}

func main() {
	text, err := os.ReadFile(os.Args[1])
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("[")
	documents := strings.Split(string(text), "\n---\n")
	for i, document := range documents {
		var q question
		if err := yaml.Unmarshal([]byte(document), &q); err != nil {
			log.Fatalf("document %d: %v", i+1, err)
		}
		a := consider(q)
		if a.Failure != "" {
			log.Printf("document %d: %s", i+1, a.Failure)
		}
		line, err := json.Marshal(a)
		if err != nil {
			log.Fatal(err)
		}
		comma := ","
		if i == len(documents)-1 {
			comma = ""
		}
		fmt.Printf("%s%s\n", line, comma)
	}
	fmt.Println("]")
}
