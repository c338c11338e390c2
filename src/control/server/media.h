// SPDX-License-Identifier: Apache-2.0
// What form a client wants its answer in (Accept), and what form its body has (Content-Type). Pure.
#pragma once

#include <string>
#include <string_view>

#include "control/server/failure.h"

namespace gantry::control {

enum class Encoding { kJson, kYaml, kProtobuf };
// As what an object is shown: whole, as rows for people (meta.k8s.io Table), or its metadata alone.
enum class View { kObject, kTable, kMetadata };

struct AnswerForm {
  Encoding encoding = Encoding::kJson;
  View view = View::kObject;
  std::string view_version = "v1";  // of meta.k8s.io, as the client asked: "v1" or "v1beta1"
};

// The best of what the client takes, in its order: JSON, YAML and, where `protobuf` says that the object has that form,
// protobuf; a view only where `views` says that it can be had. 406 when it takes none of them. An empty Accept takes
// all.
struct Offer {
  bool protobuf = false;
  bool views = false;
};
Outcome<AnswerForm> negotiate(std::string_view accept, Offer offer);

// "application/json" and so on; with ";stream=watch" in protobuf streams.
std::string_view content_type(Encoding encoding);

// The type without its parameters, in lower case: "application/json".
std::string media_type(std::string_view content_type);

// Of a create or update; no header counts as JSON, as curl users expect. 415 for another.
Outcome<Encoding> body_encoding(std::string_view content_type);

}  // namespace gantry::control
