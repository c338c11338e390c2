// SPDX-License-Identifier: Apache-2.0
#include "api/kinds/authorization/kinds.h"
#include "kubernetes/authorization/v1/authorization.pb.h"

namespace gantry::api {

Kind self_subject_rules_review_kind() {
  Kind kind = make_kind<k8s::io::api::authorization::v1::SelfSubjectRulesReview>("selfsubjectrulesreviews",
                                                                                 "selfsubjectrulesreview");
  kind.namespaced = false;
  kind.verbs = static_cast<Verbs>(Verb::kCreate);
  return kind;
}

}  // namespace gantry::api
