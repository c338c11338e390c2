// SPDX-License-Identifier: Apache-2.0
// The rules of metadata, which are the same for every kind: names, labels, annotations, owners, finalizers. Pure; any
// thread.
#pragma once

#include <string>
#include <string_view>

#include "api/check.h"
#include "api/problem.h"

namespace k8s::io::apimachinery::pkg::apis::meta::v1 {
class LabelSelector;
class ObjectMeta;
}  // namespace k8s::io::apimachinery::pkg::apis::meta::v1

namespace google::protobuf {
template <typename Key, typename T>
class Map;
}

namespace gantry::api {

using ObjectMeta = k8s::io::apimachinery::pkg::apis::meta::v1::ObjectMeta;
using LabelSelectorMessage = k8s::io::apimachinery::pkg::apis::meta::v1::LabelSelector;

// What is wrong with the metadata of an object that is about to be created, its name made from generateName already.
// check_name as in Kind; null: check_dns1123_subdomain.
FieldProblems validate_object_meta(const ObjectMeta& meta, bool namespaced,
                                   std::string (*check_name)(std::string_view));

// What may not become of `old`. Precondition: resourceVersion is the server's business and not looked at.
FieldProblems validate_object_meta_update(const ObjectMeta& old, const ObjectMeta& updated);

// Parts that objects hold elsewhere, too: in pod templates, in selectors.
void check_labels(const google::protobuf::Map<std::string, std::string>& labels, const Check& check);
void check_annotations(const google::protobuf::Map<std::string, std::string>& annotations, const Check& check);
void check_label_selector(const LabelSelectorMessage& selector, const Check& check);

}  // namespace gantry::api
