// SPDX-License-Identifier: Apache-2.0
// The metadata of an object whose kind is not known when the code is written. Pure; any thread.
#pragma once

#include <initializer_list>
#include <string_view>

#include "api/kind.h"

namespace k8s::io::apimachinery::pkg::apis::meta::v1 {
class ObjectMeta;
class ListMeta;
}  // namespace k8s::io::apimachinery::pkg::apis::meta::v1

namespace gantry::api {

using ObjectMeta = k8s::io::apimachinery::pkg::apis::meta::v1::ObjectMeta;

// Finalizers that a deletion sets, for the garbage collector: dependents are let go, or go before their owner.
inline constexpr std::string_view kOrphanFinalizer = "orphan";
inline constexpr std::string_view kForegroundFinalizer = "foregroundDeletion";

// Precondition: the message is a kind that has metadata (ObjectMeta). An absent one reads as empty.
const ObjectMeta& metadata_of(const Message& message);
ObjectMeta* mutable_metadata_of(Message* message);

// Whether the message has such metadata at all; reviews and options have not always.
bool has_metadata(const google::protobuf::Descriptor& descriptor);

// Copies the top-level field of that JSON name from one message of a type to another of it; absent is copied too.
// A name that the type has not changes nothing.
void copy_field(const Message& from, std::string_view field, Message* to);
void clear_field(Message* message, std::string_view field);

// True if both have equal bytes but for the top-level fields named. Precondition: both normalized.
bool equal_but(const Message& a, const Message& b, std::initializer_list<std::string_view> fields);

}  // namespace gantry::api
