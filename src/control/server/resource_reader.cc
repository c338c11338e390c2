// SPDX-License-Identifier: Apache-2.0
#include "control/server/resource_reader.h"

#include <google/protobuf/message.h>

#include "api/metadata.h"
#include "base/text.h"
#include "kubernetes/meta/v1/meta.pb.h"

namespace gantry::control {

namespace {

constexpr std::string_view kForgotten =
    "The provided continue parameter is too old to display a consistent list result. You can start a new list without "
    "the continue parameter, or use the continue token in this response to retrieve the remainder of the results. "
    "Continuing with the provided token results in an inconsistent list - objects that were created, modified, or "
    "deleted between the time the first chunk was returned and now may show up in the list.";

Failure too_large_version(std::int64_t asked, std::int64_t present) {
  Failure failure;
  failure.code = 504;
  failure.reason = "Timeout";
  failure.message = cat("Timeout: Too large resource version: ", asked, ", current: ", present);
  failure.retry_after = 1;
  failure.causes.push_back({"ResourceVersionTooLarge", "Too large resource version", ""});
  return failure;
}

// A page that goes on where another ended may go on from the newest version, too.
Failure forgotten_page(const ListOptions& options) {
  Failure failure = expired(std::string(kForgotten));
  failure.continue_token = ContinueToken{-1, options.page->after}.to_string();
  return failure;
}

}  // namespace

struct ResourceReader::Page {
  std::vector<Object> objects;
  ListMetadata metadata;
};

Task<Outcome<Object>> ResourceReader::get(Call& call, std::string name) {
  Result<std::optional<Object>> found = co_await objects_.find(call.here, call.kind, call.info.ns, name);
  if (!found) co_return fail(from_error(found.error()));
  if (!*found) co_return fail(object_not_found(call.kind, name));
  co_return std::move(**found);
}

Task<Outcome<void>> ResourceReader::read_page(Call& call, const ListOptions& options, Page* page) {
  const api::Kind& storage = objects_.kinds().storage_of(call.kind);
  ListRequest request{.prefix = storage_key(storage, call.info.ns, "")};
  if (options.page) {
    request.after = cat(request.prefix, options.page->after);
    request.revision = std::max<std::int64_t>(options.page->revision, 0);
  } else if (options.match == VersionMatch::kExact) {
    request.revision = *options.revision;
  } else if (options.limit > 0 && options.revision.value_or(0) > 0 && options.match == VersionMatch::kUnset) {
    request.revision = *options.revision;
  }
  const bool everything = options.selection.everything();
  if (everything) request.limit = options.limit;
  for (;;) {
    Result<ListAnswer> answer = co_await objects_.store().list(call.here, request);
    if (!answer) {
      if (is_ahead(answer.error())) co_return fail(too_large_version(request.revision, 0));
      if (!is_compacted(answer.error())) co_return fail(from_error(answer.error()));
      if (options.page) co_return fail(forgotten_page(options));
      co_return fail(expired(cat("The resourceVersion for the provided list is too old: ", request.revision)));
    }
    if (options.revision.value_or(0) > answer->revision) {
      co_return fail(too_large_version(*options.revision, answer->revision));
    }
    page->metadata.revision = answer->revision;
    request.revision = answer->revision;
    for (EntryPtr& entry : answer->entries) {
      request.after = entry->key;
      Result<Object> object = decode_entry(objects_.kinds(), call.kind, std::move(entry));
      if (!object) co_return fail(from_error(object.error()));
      if (!options.selection.matches(call.kind, *object->message)) continue;
      page->objects.push_back(std::move(*object));
      const bool full = options.limit > 0 && page->objects.size() == options.limit;
      const bool last = &entry == &answer->entries.back();
      if (full && (!last || answer->more)) {
        page->metadata.continue_token =
            ContinueToken{answer->revision, request.after.substr(request.prefix.size())}.to_string();
        if (everything) page->metadata.remaining = answer->rest;
        co_return Outcome<void>();
      }
    }
    if (!answer->more) co_return Outcome<void>();
    if (request.limit > 0) request.limit = options.limit - page->objects.size();
  }
}

Task<Outcome<std::string>> ResourceReader::list(Call& call, ListOptions options, AnswerForm form,
                                                IncludeObject include) {
  Page page;
  if (Outcome<void> read = co_await read_page(call, options, &page); !read) co_return fail(std::move(read.error()));
  std::string text;
  ListWriter writer(call.kind, form, include, now_().seconds, &text);
  writer.begin(page.metadata);
  for (const Object& object : page.objects) writer.add(*object.message);
  writer.end();
  co_return text;
}

Task<Outcome<std::vector<Object>>> ResourceReader::all(Call& call, const Selection& selection) {
  Page page;
  ListOptions options;
  options.selection = selection;
  if (Outcome<void> read = co_await read_page(call, options, &page); !read) co_return fail(std::move(read.error()));
  co_return std::move(page.objects);
}

}  // namespace gantry::control
