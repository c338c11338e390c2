// SPDX-License-Identifier: Apache-2.0
#include <set>

#include "api/check.h"
#include "api/duration_text.h"
#include "api/kind_parts.h"
#include "api/kinds/certificates/kinds.h"
#include "api/names.h"
#include "base/text.h"
#include "kubernetes/certificates/v1/certificates.pb.h"

namespace gantry::api {

namespace {

namespace certificates = k8s::io::api::certificates::v1;

std::string condition_text(const certificates::CertificateSigningRequestStatus& status) {
  const auto has = [&](std::string_view type) {
    for (const certificates::CertificateSigningRequestCondition& condition : status.conditions()) {
      if (condition.type() == type) return true;
    }
    return false;
  };
  std::string text = has("Denied") ? "Denied" : has("Approved") ? "Approved" : "Pending";
  if (has("Failed")) text += ",Failed";
  if (!status.certificate().empty()) text += ",Issued";
  return text;
}

std::vector<Value> row(const certificates::CertificateSigningRequest& object, int64_t now) {
  const certificates::CertificateSigningRequestSpec& spec = object.spec();
  return {object.metadata().name(),
          age(object.metadata(), now),
          or_none(spec.signer_name()),
          spec.username(),
          spec.has_expiration_seconds() ? Value(duration_text(spec.expiration_seconds())) : Value(kNone),
          condition_text(object.status())};
}

std::vector<std::string> selectable(const certificates::CertificateSigningRequest& object) {
  return {object.spec().signer_name()};
}

TableRules table() {
  return {{name_column(), age_column(), column("SignerName", "string", "Who is to sign it."),
           column("Requestor", "string", "Who asks for it."),
           column("RequestedDuration", "string", "How long it is to be valid."),
           column("Condition", "string", "What has been decided.")},
          over(&row)};
}

constexpr std::string_view kUsages[] = {"signing",
                                        "digital signature",
                                        "content commitment",
                                        "key encipherment",
                                        "key agreement",
                                        "data encipherment",
                                        "cert sign",
                                        "crl sign",
                                        "encipher only",
                                        "decipher only",
                                        "any",
                                        "server auth",
                                        "client auth",
                                        "code signing",
                                        "email protection",
                                        "s/mime",
                                        "ipsec end system",
                                        "ipsec tunnel",
                                        "ipsec user",
                                        "timestamping",
                                        "ocsp signing",
                                        "microsoft sgc",
                                        "netscape sgc"};

constexpr int32_t kShortest = 600;  // seconds

FieldProblems validate(const certificates::CertificateSigningRequest& object) {
  FieldProblems problems;
  const Check check = Check(&problems).at("spec");
  const certificates::CertificateSigningRequestSpec& spec = object.spec();
  if (!spec.request().starts_with("-----BEGIN CERTIFICATE REQUEST-----")) {
    check.at("request").invalid("", "must be a certificate request in PEM");
  }
  if (spec.usages().empty()) check.at("usages").required();
  std::set<std::string_view> seen;
  for (int i = 0; i < spec.usages_size(); ++i) {
    check.at("usages")[i].one_of(spec.usages(i), kUsages);
    if (!seen.insert(spec.usages(i)).second) check.at("usages")[i].duplicate(spec.usages(i));
  }
  const std::string& signer = spec.signer_name();
  if (signer.empty()) {
    check.at("signerName").required();
  } else if (const size_t slash = signer.find('/'); slash == std::string::npos || slash + 1 == signer.size() ||
                                                    !check_dns1123_subdomain(signer.substr(0, slash)).empty()) {
    check.at("signerName").invalid(signer, "must be DOMAIN/NAME");
  } else if (signer == "kubernetes.io/legacy-unknown") {
    check.at("signerName").invalid(signer, "is not served any more");
  }
  if (spec.has_expiration_seconds() && spec.expiration_seconds() < kShortest) {
    check.at("expirationSeconds").invalid(spec.expiration_seconds(), "must be at least 600 seconds");
  }
  return problems;
}

using Request = certificates::CertificateSigningRequest;

// Who asks and what for can not be changed, nor can anything through the main resource but metadata.
void prepare_update(const Request& old, Request* updated) {
  *updated->mutable_spec() = old.spec();
  *updated->mutable_status() = old.status();
}

bool is_decision(const std::string& type) { return type == "Approved" || type == "Denied"; }

// Through "status" a signer adds the certificate; decisions stay.
void prepare_status(const Request& old, Request* updated) {
  *updated->mutable_spec() = old.spec();
  auto* conditions = updated->mutable_status()->mutable_conditions();
  const auto sent = *conditions;
  conditions->Clear();
  for (const auto& condition : old.status().conditions()) {
    if (is_decision(condition.type())) *conditions->Add() = condition;
  }
  for (const auto& condition : sent) {
    if (!is_decision(condition.type())) *conditions->Add() = condition;
  }
}

// Through "approval" decisions are added, and nothing else.
void prepare_approval(const Request& old, Request* updated) {
  const auto conditions = updated->status().conditions();
  *updated->mutable_spec() = old.spec();
  *updated->mutable_status() = old.status();
  *updated->mutable_status()->mutable_conditions() = conditions;
}

FieldProblems validate_conditions(const Request& old, const Request& updated) {
  FieldProblems problems;
  const Check check = Check(&problems).at("status");
  bool approved = false;
  bool denied = false;
  std::set<std::string_view> types;
  for (int i = 0; i < updated.status().conditions_size(); ++i) {
    const auto& condition = updated.status().conditions(i);
    const Check inside = check.at("conditions")[i];
    if (condition.type().empty()) inside.at("type").required();
    approved |= condition.type() == "Approved";
    denied |= condition.type() == "Denied";
    if (!types.insert(condition.type()).second) inside.at("type").duplicate(condition.type());
    if (is_decision(condition.type()) && condition.status() != "True")
      inside.at("status").one_of(condition.status(), {"True"});
  }
  if (approved && denied) check.at("conditions").invalid("Denied", "Approved and Denied exclude each other");
  for (const auto& condition : old.status().conditions()) {
    if (!types.contains(condition.type())) {
      check.at("conditions").forbidden(cat("updates may not remove a condition of type ", condition.type()));
    }
  }
  if (!old.status().certificate().empty() && old.status().certificate() != updated.status().certificate()) {
    check.at("certificate").forbidden("updates may not modify existing certificate content");
  }
  return problems;
}

void prepare_create(Request* object) { object->mutable_status()->Clear(); }

}  // namespace

Kind certificate_signing_request_kind() {
  Kind kind = make_kind<certificates::CertificateSigningRequest>("certificatesigningrequests",
                                                                 "certificatesigningrequest", {"csr"});
  kind.namespaced = false;
  kind.storage = "certificatesigningrequests";
  kind.selectable = {"spec.signerName"};
  kind.selectable_values = over(&selectable);
  kind.table = table();
  kind.prepare_create = over(&prepare_create);
  kind.validate = over(&validate);
  kind.update.prepare = over(&prepare_update);
  add_view(&kind, "approval", {over(&prepare_approval), over(&validate_conditions)});
  add_status(&kind, {over(&prepare_status), over(&validate_conditions)});
  return kind;
}

}  // namespace gantry::api
