// SPDX-License-Identifier: Apache-2.0
#include "control/server/resource_reader.h"

#include <google/protobuf/message.h>

#include "api/metadata.h"
#include "api/wire.h"
#include "base/text.h"
#include "control/server/wire_form.h"
#include "kubernetes/meta/v1/meta.pb.h"

namespace gantry::control {

namespace {

constexpr std::string_view kForgotten =
    "The provided continue parameter is too old to display a consistent list result. You can start a new list without "
    "the continue parameter, or use the continue token in this response to retrieve the remainder of the results. "
    "Continuing with the provided token results in an inconsistent list - objects that were created, modified, or "
    "deleted between the time the first chunk was returned and now may show up in the list.";

// A page that goes on where another ended may go on from the newest version, too.
Failure forgotten_page(const ListOptions& options) {
  Failure failure = expired(std::string(kForgotten));
  failure.continue_token = ContinueToken{-1, options.page->after}.to_string();
  return failure;
}

}  // namespace

struct ResourceReader::Page {
  std::vector<ItemPtr> items;
  ListMetadata metadata;
};

Task<Outcome<Object>> ResourceReader::get(Call& call, std::string name) {
  Result<std::optional<Object>> found = co_await objects_.find(call.here, call.kind, call.info.ns, name);
  if (!found) co_return fail(from_error(found.error()));
  if (!*found) co_return fail(object_not_found(call.kind, name));
  co_return std::move(**found);
}

namespace {

// Which version the list is of; 0: the newest.
std::int64_t wanted_version(const ListOptions& options) {
  if (options.page) return std::max<std::int64_t>(options.page->revision, 0);
  const bool exact = options.match == VersionMatch::kExact ||
                     (options.limit > 0 && options.revision.value_or(0) > 0 && options.match == VersionMatch::kUnset);
  return exact ? *options.revision : 0;
}

}  // namespace

Task<Outcome<std::optional<Snapshot>>> ResourceReader::choose_snapshot(Call& call, const ListOptions& options) {
  const WatchCache& cache = caches_.of(call.kind);
  const std::int64_t version = wanted_version(options);
  if (version > 0) co_return cache.snapshot_at(version);
  // resourceVersion=0 takes what there is.
  if (options.revision == 0 && !options.page && cache.is_ready()) co_return cache.snapshot();
  Result<Snapshot> fresh = co_await caches_.of(call.kind).fresh(call.here);
  if (!fresh) co_return fail(from_error(fresh.error()));
  if (options.revision.value_or(0) > fresh->revision()) {
    co_return fail(too_large_version(*options.revision, fresh->revision()));
  }
  co_return std::optional<Snapshot>(std::move(*fresh));
}

void ResourceReader::read_snapshot(Call& call, const ListOptions& options, const Snapshot& snapshot, Page* page) {
  const std::string prefix = storage_key(caches_.storage_of(call.kind), call.info.ns, "");
  const std::string after = options.page ? cat(prefix, options.page->after) : std::string();
  page->metadata.revision = snapshot.revision();
  bool more = false;
  std::string last;
  snapshot.visit(prefix, after, [&](const ObjectPtr& object) {
    ItemPtr item = as_item(object);
    if (item == nullptr || !item->matches(call.kind, options.selection)) return true;
    if (options.limit > 0 && page->items.size() == options.limit) {
      more = true;
      return false;
    }
    last = item->key();
    page->items.push_back(std::move(item));
    return true;
  });
  if (!more) return;
  page->metadata.continue_token = ContinueToken{snapshot.revision(), last.substr(prefix.size())}.to_string();
  if (options.selection.everything()) {
    page->metadata.remaining = static_cast<std::int64_t>(snapshot.count(prefix, last));
  }
}

Task<Outcome<void>> ResourceReader::read_page(Call& call, const ListOptions& options, Page* page) {
  Outcome<std::optional<Snapshot>> snapshot = co_await choose_snapshot(call, options);
  if (!snapshot) co_return fail(std::move(snapshot.error()));
  if (*snapshot) {
    read_snapshot(call, options, **snapshot, page);
    co_return Outcome<void>();
  }
  co_return co_await read_store(call, options, page);
}

// A version that the cache has no longer: the store may have it.
Task<Outcome<void>> ResourceReader::read_store(Call& call, const ListOptions& options, Page* page) {
  const api::Kind& storage = caches_.storage_of(call.kind);
  ListRequest request{.prefix = storage_key(storage, call.info.ns, ""), .revision = wanted_version(options)};
  if (options.page) request.after = cat(request.prefix, options.page->after);
  const bool everything = options.selection.everything();
  for (;;) {
    if (everything && options.limit > 0) request.limit = options.limit - page->items.size();
    Result<ListAnswer> answer = co_await objects_.store().list(call.here, request);
    if (!answer) {
      if (is_ahead(answer.error())) co_return fail(too_large_version(request.revision, 0));
      if (!is_compacted(answer.error())) co_return fail(from_error(answer.error()));
      if (options.page) co_return fail(forgotten_page(options));
      co_return fail(expired(cat("The resourceVersion for the provided list is too old: ", request.revision)));
    }
    page->metadata.revision = answer->revision;
    request.revision = answer->revision;
    for (size_t i = 0; i < answer->entries.size(); ++i) {
      request.after = answer->entries[i]->key;
      ItemPtr item = CachedItem::make(objects_.kinds(), storage, answer->entries[i]);
      if (item == nullptr || !item->matches(call.kind, options.selection)) continue;
      page->items.push_back(std::move(item));
      const bool full = options.limit > 0 && page->items.size() == options.limit;
      const bool last = i + 1 == answer->entries.size();
      if (full && (!last || answer->more)) {
        page->metadata.continue_token =
            ContinueToken{answer->revision, request.after.substr(request.prefix.size())}.to_string();
        if (everything) page->metadata.remaining = answer->rest;
        co_return Outcome<void>();
      }
    }
    if (!answer->more) co_return Outcome<void>();
  }
}

std::string ResourceReader::list_json(const api::Kind& kind, const AnswerForm& form, IncludeObject include,
                                      const Page& page) const {
  std::vector<std::shared_ptr<const std::string>> objects;
  std::size_t size = 512;
  for (const ItemPtr& item : page.items) size += objects.emplace_back(item->json(kind))->size() + 1;
  std::string text;
  text.reserve(size);  // a large text that grows is copied again and again
  ListWriter writer(kind, form, include, now_().seconds, &text);
  writer.begin(page.metadata);
  for (const auto& object : objects) writer.add_json(*object);
  writer.end();
  return text;
}

Task<Outcome<std::string>> ResourceReader::list(Call& call, ListOptions options, AnswerForm form,
                                                IncludeObject include) {
  Page page;
  if (Outcome<void> read = co_await read_page(call, options, &page); !read) co_return fail(std::move(read.error()));
  if (form.encoding == Encoding::kProtobuf && form.view == View::kObject) {
    std::size_t size = 0;
    for (const ItemPtr& item : page.items) size += item->entry().value.size();
    api::WireList list(call.kind.gvk.api_version(), call.kind.gvk.kind + "List",
                       {.version = page.metadata.revision,
                        .continue_token = page.metadata.continue_token,
                        .remaining = page.metadata.remaining},
                       size);
    for (const ItemPtr& item : page.items) {
      if (Status added = add_object(list, *item, call.kind); !added) co_return fail(from_error(added.error()));
    }
    co_return list.take();
  }
  if (form.view == View::kObject) co_return list_json(call.kind, form, include, page);
  std::string text;
  ListWriter writer(call.kind, form, include, now_().seconds, &text);
  writer.begin(page.metadata);
  for (const ItemPtr& item : page.items) writer.add(*item->message(call.kind));
  writer.end();
  co_return text;
}

Task<Outcome<std::vector<ItemPtr>>> ResourceReader::all(Call& call, const Selection& selection) {
  Page page;
  ListOptions options;
  options.selection = selection;
  if (Outcome<void> read = co_await read_page(call, options, &page); !read) co_return fail(std::move(read.error()));
  co_return std::move(page.items);
}

}  // namespace gantry::control
