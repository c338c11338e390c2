// SPDX-License-Identifier: Apache-2.0
#include "api/kinds/authentication/kinds.h"
#include "kubernetes/authentication/v1/authentication.pb.h"

namespace gantry::api {

Kind token_review_kind() {
  Kind kind = make_kind<k8s::io::api::authentication::v1::TokenReview>("tokenreviews", "tokenreview");
  kind.namespaced = false;
  kind.verbs = static_cast<Verbs>(Verb::kCreate);
  return kind;
}

}  // namespace gantry::api
