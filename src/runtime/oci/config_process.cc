// SPDX-License-Identifier: Apache-2.0
#include "runtime/oci/config_parts.h"

namespace gantry::runtime::oci {
namespace {

void read_user(const Fields& process, User& user) {
  auto fields = process.object("user");
  if (!fields) return;
  fields->number("uid", user.uid, 0U, kMaxId);
  fields->number("gid", user.gid, 0U, kMaxId);
  fields->number("umask", user.umask, 0U, 0777U);
  fields->numbers("additionalGids", user.additional_gids, 0U, kMaxId);
  if (user.additional_gids.size() > kMaxGroups - 1) {
    fields->refuse("additionalGids",
                   cat("has ", user.additional_gids.size(), " groups: at most ", kMaxGroups - 1, " are taken"));
  }
}

void read_capabilities(const Fields& process, Capabilities& out) {
  auto fields = process.object("capabilities");
  if (!fields) return;
  fields->texts("bounding", out.bounding);
  fields->texts("effective", out.effective);
  fields->texts("permitted", out.permitted);
  fields->texts("inheritable", out.inheritable);
  fields->texts("ambient", out.ambient);
}

void read_rlimits(const Fields& process, std::vector<Rlimit>& out) {
  process.objects("rlimits", [&](const Fields& entry) {
    Rlimit limit;
    if (!entry.text("type", limit.type)) entry.missing("type", "a name such as RLIMIT_NOFILE");
    if (!entry.number("soft", limit.soft)) entry.missing("soft", "a number");
    if (!entry.number("hard", limit.hard)) entry.missing("hard", "a number");
    if (!limit.type.starts_with("RLIMIT_"))
      entry.refuse("type", cat(quoted(limit.type), " is wrong: a name such as RLIMIT_NOFILE was expected"));
    out.push_back(std::move(limit));
  });
}

}  // namespace

void read_process(const Fields& fields, Process& process) {
  fields.flag("terminal", process.terminal);
  if (auto size = fields.object("consoleSize")) {
    size->number("height", process.rows);
    size->number("width", process.columns);
  }
  read_user(fields, process.user);
  fields.texts("args", process.args);
  if (process.args.empty() || process.args[0].empty()) fields.missing("args", "a program to run");
  fields.texts("env", process.env);
  if (!fields.text("cwd", process.cwd)) fields.missing("cwd", "an absolute path");
  if (!process.cwd.starts_with('/'))
    fields.refuse("cwd", cat(quoted(process.cwd), " is wrong: an absolute path was expected"));
  read_capabilities(fields, process.capabilities);
  read_rlimits(fields, process.rlimits);
  fields.flag("noNewPrivileges", process.no_new_privileges);
  fields.text("apparmorProfile", process.apparmor_profile);
  fields.text("selinuxLabel", process.selinux_label);
  fields.number("oomScoreAdj", process.oom_score_adj, -1000, 1000);
  read_schedule(fields, process);
}

}  // namespace gantry::runtime::oci
