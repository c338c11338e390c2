// SPDX-License-Identifier: Apache-2.0
// Ways around the Pod Security Standards, and that there are none.
#include <gmock/gmock.h>

#include "control/bootstrap/security_fixture.h"
#include "control/server/auditor.h"

namespace gantry::control {
namespace {

using ::testing::HasSubstr;

constexpr char kNamespaces[] = "/api/v1/namespaces";
constexpr char kStrictPods[] = "/api/v1/namespaces/strict/pods";
constexpr char kHardened[] =
    R"("securityContext":{"runAsNonRoot":true,"seccompProfile":{"type":"RuntimeDefault"}},)"
    R"("containers":[{"name":"c","image":"i","securityContext":{"allowPrivilegeEscalation":false,)"
    R"("capabilities":{"drop":["ALL"]}}}])";
constexpr char kPrivileged[] = R"({"name":"x","image":"i","securityContext":{"privileged":true}})";

class PodSecurityTest : public SecurityTest {
 protected:
  PodSecurityTest() {
    make_account("default");
    make_namespace("strict", R"("pod-security.kubernetes.io/enforce":"restricted")");
    EXPECT_EQ(post(cat(kNamespaces, "/strict/serviceaccounts"), account("default")).code, 201);
  }
  static std::string account(const std::string& name) {
    return cat(R"({"apiVersion":"v1","kind":"ServiceAccount","metadata":{"name":")", name, "\"}}");
  }
  static std::string ns_document(const std::string& name, const std::string& labels) {
    return cat(R"({"apiVersion":"v1","kind":"Namespace","metadata":{"name":")", name, R"(","labels":{)", labels, "}}}");
  }
  void make_namespace(const std::string& name, const std::string& labels) {
    EXPECT_EQ(post(kNamespaces, ns_document(name, labels)).code, 201);
  }
  static std::string pod(const std::string& name, const std::string& spec) {
    return cat(R"({"apiVersion":"v1","kind":"Pod","metadata":{"name":")", name, R"("},"spec":{)", spec, "}}");
  }
};

TEST_F(PodSecurityTest, AViolationIsRefusedInUpstreamsWords) {
  const Answer refused = post(kStrictPods, pod("web", R"("containers":[{"name":"c","image":"i"}])"));
  EXPECT_EQ(refused.code, 403);
  EXPECT_EQ(
      refused.text("message"),
      R"(pods "web" is forbidden: violates PodSecurity "restricted:latest": allowPrivilegeEscalation != false )"
      R"((container "c" must set securityContext.allowPrivilegeEscalation=false), unrestricted capabilities )"
      R"((container "c" must set securityContext.capabilities.drop=["ALL"]), runAsNonRoot != true )"
      R"((pod or container "c" must set securityContext.runAsNonRoot=true), seccompProfile )"
      R"((pod or container "c" must set securityContext.seccompProfile.type to "RuntimeDefault" or "Localhost"))");
  EXPECT_EQ(refused.warnings, "");
  EXPECT_EQ(post(kStrictPods, pod("web", kHardened)).code, 201);
  EXPECT_EQ(post(kPods, pod("web", R"("hostPID":true,"containers":[{"name":"c","image":"i"}])")).code, 201);
}

TEST_F(PodSecurityTest, NeitherInitNorEphemeralContainersAreAWayIn) {
  EXPECT_EQ(post(kStrictPods, pod("a", cat(kHardened, R"(,"initContainers":[)", kPrivileged, "]"))).code, 403);
  ASSERT_EQ(post(kStrictPods, pod("a", kHardened)).code, 201);
  const std::string debug = cat(R"({"spec":{"ephemeralContainers":[)", kPrivileged, "]}}");
  const Answer refused = strategic(cat(kStrictPods, "/a/ephemeralcontainers"), debug);
  EXPECT_EQ(refused.code, 403);
  EXPECT_THAT(refused.body, HasSubstr("privileged (container"));
  EXPECT_EQ(strategic(cat(kStrictPods, "/a/ephemeralcontainers"),
                      R"({"spec":{"ephemeralContainers":[{"name":"d","image":"i","securityContext":)"
                      R"({"allowPrivilegeEscalation":false,"capabilities":{"drop":["ALL"]}}}]}})")
                .code,
            200);
}

// A pod that is there already stays as it is: it is not given another image, but it can be labelled, and it can end.
TEST_F(PodSecurityTest, AnUpdateOfWhatRunsIsChecked) {
  const std::string pods = cat(kNamespaces, "/later/pods");
  make_namespace("later", "");
  ASSERT_EQ(post(cat(kNamespaces, "/later/serviceaccounts"), account("default")).code, 201);
  ASSERT_EQ(post(pods, pod("old", cat(R"("containers":[)", kPrivileged, "]"))).code, 201);
  const Answer stricter =
      merge(cat(kNamespaces, "/later"), R"({"metadata":{"labels":{"pod-security.kubernetes.io/enforce":"baseline"}}})");
  EXPECT_EQ(stricter.code, 200);
  EXPECT_EQ(stricter.warnings,
            "299 - \"existing pods in namespace \\\"later\\\" violate the new PodSecurity enforce level "
            "\\\"baseline:latest\\\"\"\n299 - \"old: privileged\"\n");
  EXPECT_EQ(strategic(cat(pods, "/old"), R"({"spec":{"containers":[{"name":"x","image":"other"}]}})").code, 403);
  EXPECT_EQ(merge(cat(pods, "/old"), R"({"metadata":{"labels":{"a":"b"}}})").code, 200);
  EXPECT_EQ(merge(cat(pods, "/old/status"), R"({"status":{"phase":"Running"}})").code, 200);
  EXPECT_EQ(ask("DELETE", cat(pods, "/old")).code, 200);
}

TEST_F(PodSecurityTest, TemplatesAreWarnedOf) {
  const std::string body =
      R"({"apiVersion":"apps/v1","kind":"Deployment","metadata":{"name":"d"},"spec":{"selector":{"matchLabels":)"
      R"({"a":"b"}},"template":{"metadata":{"labels":{"a":"b"}},"spec":{"hostNetwork":true,"containers":)"
      R"([{"name":"c","image":"i"}]}}}})";
  const Answer made = post("/apis/apps/v1/namespaces/strict/deployments", body);
  EXPECT_EQ(made.code, 201);
  EXPECT_THAT(made.warnings,
              HasSubstr(R"(would violate PodSecurity \"restricted:latest\": host namespaces (hostNetwork=true))"));
  EXPECT_EQ(post("/apis/apps/v1/namespaces/default/deployments", body).warnings, "");
  const std::string cron =
      R"({"apiVersion":"batch/v1","kind":"CronJob","metadata":{"name":"c"},"spec":{"schedule":"* * * * *","jobTemplate":)"
      R"({"spec":{"template":{"spec":{"restartPolicy":"Never","containers":[{"name":"c","image":"i"}]}}}}}})";
  EXPECT_THAT(post("/apis/batch/v1/namespaces/strict/cronjobs", cron).warnings, HasSubstr("would violate PodSecurity"));
}

TEST_F(PodSecurityTest, LabelsThatSayNothingAreRefused) {
  for (const char* level : {"Restricted", "strict", ""}) {
    const Answer refused =
        post(kNamespaces, ns_document("n", cat(R"("pod-security.kubernetes.io/enforce":")", level, "\"")));
    EXPECT_EQ(refused.code, 422) << level;
    EXPECT_THAT(refused.body, HasSubstr("must be one of privileged, baseline, restricted"));
  }
  EXPECT_EQ(merge(cat(kNamespaces, "/strict"),
                  R"({"metadata":{"labels":{"pod-security.kubernetes.io/enforce-version":"v2"}}})")
                .code,
            422);
  // Upper case is another label, which means nothing: the namespace stays as strict as it was.
  EXPECT_EQ(merge(cat(kNamespaces, "/strict"),
                  R"({"metadata":{"labels":{"Pod-Security.kubernetes.io/enforce":"privileged"}}})")
                .code,
            422);
  EXPECT_EQ(post(kStrictPods, pod("x", cat(R"("containers":[)", kPrivileged, "]"))).code, 403);
}

TEST_F(PodSecurityTest, ADryRunIsRefusedAsWell) {
  EXPECT_EQ(post(cat(kStrictPods, "?dryRun=All"), pod("x", cat(R"("containers":[)", kPrivileged, "]"))).code, 403);
  EXPECT_EQ(ask("PATCH", cat(kStrictPods, "/x?fieldManager=m"), pod("x", cat(R"("containers":[)", kPrivileged, "]")),
                "application/apply-patch+yaml")
                .code,
            403);
}

// Keeps what admission said of the last request.
class LastAnnotations final : public Auditor,
                              public AuditedRequest,
                              public std::enable_shared_from_this<LastAnnotations> {
 public:
  Task<std::shared_ptr<AuditedRequest>> begin(Loop&, const http::Request&, const RequestFacts&) override {
    co_return shared_from_this();
  }
  Task<> answered(Loop&, const RequestFacts& facts, const http::Response&, bool) override {
    said = facts.annotations;
    co_return;
  }
  Task<> ended(Loop&) override { co_return; }

  std::map<std::string, std::string> said;
};

TEST_F(PodSecurityTest, TheAuditLogHearsOfIt) {
  const auto auditor = std::make_shared<LastAnnotations>();
  ApiServer::Parts parts = parts_of(*security_, kinds_, *store_, *caches_, [this] { return now_; });
  parts.auditor = auditor.get();
  server_.emplace(std::move(parts));
  make_namespace("seen", R"("pod-security.kubernetes.io/audit":"baseline")");
  ASSERT_EQ(post(cat(kNamespaces, "/seen/serviceaccounts"), account("default")).code, 201);
  EXPECT_EQ(post(cat(kNamespaces, "/seen/pods"), pod("web", cat(R"("containers":[)", kPrivileged, "]"))).code, 201);
  EXPECT_EQ(auditor->said["pod-security.kubernetes.io/enforce-policy"], "privileged:latest");
  EXPECT_EQ(auditor->said["pod-security.kubernetes.io/audit-violations"],
            R"(would violate PodSecurity "baseline:latest": privileged (container "x" must not set )"
            R"(securityContext.privileged=true))");
}

}  // namespace
}  // namespace gantry::control
