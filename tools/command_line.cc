// The one translation unit that includes CLI11.
#include "tools/command_line.h"

#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <functional>
#include <iostream>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "backup/retention.h"
#include "cache/options.h"
#include "cache/policy.h"
#include "replication/endpoint.h"
#include "replication/limits.h"
#include "tools/cli/backup_command.h"
#include "tools/cli/cache_flags.h"
#include "tools/cli/console.h"
#include "tools/cli/del_command.h"
#include "tools/cli/diff_command.h"
#include "tools/cli/exit_codes.h"
#include "tools/cli/export_command.h"
#include "tools/cli/flush_namespace_command.h"
#include "tools/cli/get_command.h"
#include "tools/cli/import_command.h"
#include "tools/cli/instant.h"
#include "tools/cli/list_command.h"
#include "tools/cli/location.h"
#include "tools/cli/ls_command.h"
#include "tools/cli/promote_command.h"
#include "tools/cli/prune_command.h"
#include "tools/cli/put_command.h"
#include "tools/cli/replica_command.h"
#include "tools/cli/replica_flags.h"
#include "tools/cli/restore_command.h"
#include "tools/cli/show_command.h"
#include "tools/cli/standard_descriptors.h"
#include "tools/cli/stats_command.h"
#include "tools/cli/suggest.h"
#include "tools/cli/sweep_command.h"
#include "tools/cli/units.h"
#include "tools/cli/verify_command.h"
#include "tools/demo/crash_child.h"
#include "tools/demo/demo.h"

namespace larder::tools {
namespace {

using cli::CommandResult;
using cli::Console;

constexpr char kExitCodesFooter[] =
    "Exit codes: 0 ok, 1 failed, 2 usage, 3 partial (each item reported),\n"
    "  10 absent, 11 locked by another process or not reached, 12 integrity,\n"
    "  13 fenced by a newer primary, 130 interrupted.\n"
    "Example:\n"
    "  larder import --l2 /var/cache/l2 --namespace docs /usr/share/doc";

// The commands of a program, and the one that its command line asks for.
class Program {
 public:
  enum class Kind {
    kSubcommands,  // PROGRAM SUBCOMMAND OPTIONS
    kSingle,       // PROGRAM OPTIONS, of the one command that is added.
  };

  Program(std::string name, Kind kind)
      : kind_(kind), app_("Larder: a tiered blob cache with backups", name) {
    app_.get_formatter()->column_width(34);
    app_.set_version_flag("--version", "larder 0.1.0");
    if (kind_ == Kind::kSubcommands) {
      app_.require_subcommand(1);
      app_.footer(kExitCodesFooter);
    }
  }

  // Adds a command; `run` is called with what the options, which the caller
  // adds to the returned app, have set.
  CLI::App* Add(const std::string& name, const std::string& description,
                const std::string& example,
                std::function<CommandResult(Console*)> run) {
    CLI::App* command = &app_;
    if (kind_ == Kind::kSubcommands) {
      command = app_.add_subcommand(name, description);
    } else {
      app_.description(description);
    }
    command->footer(absl::StrCat("Example:\n  ", example));
    command->add_flag("--json", console_.json,
                      "Print one JSON object, last on stdout");
    command->add_flag("--quiet", console_.quiet,
                      "Print no text and no progress, only errors and data");
    command->callback([this, name, run = std::move(run)] {
      console_.command = name;
      run_ = run;
    });
    return command;
  }

  int Run(int argc, char** argv) {
    cli::FillStandardDescriptors();
    try {
      app_.parse(argc, argv);
    } catch (const CLI::Success& asked_for_help) {
      const int code = app_.exit(asked_for_help);
      std::cout.flush();
      return std::cout.good() ? code : int{cli::kExitFailed};
    } catch (const CLI::ParseError& error) {
      return Refuse(error, argc, argv);
    }
    Console console(console_);
    return console.Finish(run_(&console));
  }

 private:
  int Refuse(const CLI::ParseError& error, int argc, char** argv) {
    CLI::App* asked = &app_;
    for (CLI::App* chosen : app_.get_subcommands()) asked = chosen;
    std::string what = Hint(*asked);
    if (what.empty()) what = error.what();
    if (error.get_name() == "ArgumentMismatch") {
      what = absl::StrCat(what.substr(0, what.find(':')), ": needs a value");
    }
    if (!what.empty()) what[0] = absl::ascii_tolower(what[0]);
    // The parser gave up before it knew all flags.
    Console::Options options;
    options.command = asked->get_name();
    options.json = std::any_of(argv, argv + argc, [](absl::string_view word) {
      return word == "--json" || word == "--json=true";
    });
    const std::string program =
        asked == &app_ ? "" : absl::StrCat(app_.get_name(), " ");
    return Console(options).RefuseUsage(
        what, absl::StrCat(program, asked->get_name(), " --help"));
  }

  // What is wrong with the first word that nobody took; "" when all were.
  std::string Hint(const CLI::App& asked) {
    const std::vector<std::string> left = asked.remaining(/*recurse=*/true);
    if (left.empty()) return "";
    std::vector<std::string> known;
    for (const CLI::Option* option : asked.get_options()) {
      known.push_back(option->get_name());
    }
    for (const CLI::App* command : asked.get_subcommands(nullptr)) {
      known.push_back(command->get_name());
    }
    const std::string nearest = cli::Nearest(left[0], known);
    return absl::StrCat("not expected: '", left[0], "'",
                        nearest.empty() ? "" : " (did you mean '", nearest,
                        nearest.empty() ? "" : "'?)");
  }

  const Kind kind_;
  CLI::App app_;
  Console::Options console_;
  std::function<CommandResult(Console*)> run_;
};

// An option whose text `parse` turns into `*target`, or refuses.
template <typename T, typename Parse>
CLI::Option* AddParsed(CLI::App* command, const std::string& name, T* target,
                       Parse parse, const std::string& description) {
  return command
      ->add_option_function<std::string>(
          name,
          [name, target, parse](const std::string& text) {
            auto value = parse(text);
            if (!value.ok()) {
              throw CLI::ValidationError(name,
                                         std::string(value.status().message()));
            }
            *target = *std::move(value);
          },
          description)
      ->trigger_on_parse();
}

// An option that may be given several times, each time with one value.
CLI::Option* AddRepeated(CLI::App* command, const std::string& name,
                         std::vector<std::string>* target,
                         const std::string& description) {
  return command->add_option(name, *target, description)
      ->allow_extra_args(false)
      ->type_name("TEXT");
}

absl::StatusOr<cache::Durability> ParseDurability(absl::string_view text) {
  if (text == "none") return cache::Durability::kNone;
  if (text == "interval") return cache::Durability::kInterval;
  if (text == "every_put") return cache::Durability::kEveryPut;
  return absl::InvalidArgumentError(
      absl::StrCat("'", text, "' is not one of none, interval, every_put"));
}

absl::StatusOr<int64_t> ParseCount(const std::string& text) {
  int64_t count = 0;
  if (!absl::SimpleAtoi(text, &count) || count < 1) {
    return absl::InvalidArgumentError(
        absl::StrCat("'", text, "' is not a number from 1 to 2^63 - 1"));
  }
  return count;
}

absl::StatusOr<int64_t> ParseTerm(const std::string& text) {
  const absl::StatusOr<int64_t> term = ParseCount(text);
  if (term.ok() && *term <= static_cast<int64_t>(replication::kTermMax)) {
    return term;
  }
  return absl::InvalidArgumentError(
      absl::StrCat("'", text, "' is not a term from 1 to 2^62"));
}

absl::StatusOr<int64_t> ParseAt(const std::string& text) {
  return cli::ParseInstant(text, absl::ToUnixMillis(absl::Now()),
                           absl::LocalTimeZone());
}

absl::StatusOr<std::string> ParseNamespace(const std::string& text) {
  if (absl::Status status = cache::ValidateNamespace(text); !status.ok()) {
    return status;
  }
  return text;
}

// Without a say in its durability.
CLI::Option* AddBoundedL2(CLI::App* command, cli::CacheFlags* flags,
                          const std::string& description) {
  CLI::Option* l2 =
      command->add_option("--l2", flags->l2, description)->type_name("DIR");
  AddParsed(command, "--l2-bytes-max", &flags->l2_bytes_max, cli::ParseBytes,
            "Bound on disk, as 512MiB (default 4GiB, or the present size)")
      ->type_name("SIZE");
  return l2;
}

CLI::Option* AddL2(CLI::App* command, cli::CacheFlags* flags,
                   const std::string& description = "Directory of the L2") {
  CLI::Option* l2 = AddBoundedL2(command, flags, description);
  AddParsed(command, "--durability", &flags->durability, ParseDurability,
            "What a power cut may cost: none (anything), interval (the last "
            "second; the default), every_put (nothing)")
      ->type_name("LEVEL");
  return l2;
}

CLI::Option* AddNamespace(CLI::App* command, std::string* ns) {
  return AddParsed(command, "-n,--namespace", ns, ParseNamespace,
                   "Namespace of the blobs")
      ->type_name("NS")
      ->required();
}

void AddPutOptions(CLI::App* command, int64_t* ttl_ms,
                   std::vector<std::string>* tags) {
  AddParsed(command, "--ttl", ttl_ms, cli::ParseDurationMillis,
            "Time to live, as 10m or 1h30m (default: no end)")
      ->type_name("DURATION");
  AddRepeated(command, "--tag", tags, "Tag; may be repeated");
}

void AddArchive(CLI::App* command, std::string* directory) {
  AddParsed(command, "--from", directory, cli::ParseDirectoryLocation,
            "The archive, as dir:PATH")
      ->type_name("dir:PATH");
}

// The archive as the first word behind a command, too.
void AddArchiveWord(CLI::App* command, std::string* directory) {
  AddParsed(command, "--from,ARCHIVE", directory, cli::ParseDirectoryLocation,
            "The archive, as dir:PATH")
      ->type_name("dir:PATH")
      ->required();
}

// Adds the command `name` whose flags are an `F`, run by `run`. Returns it
// with its flags, which live as long as the program.
template <typename F>
std::pair<CLI::App*, F*> AddCommand(Program* program, const std::string& name,
                                    const std::string& description,
                                    const std::string& example,
                                    CommandResult (*run)(const F&, Console*)) {
  auto flags = std::make_shared<F>();
  CLI::App* command = program->Add(
      name, description, example,
      [flags, run](Console* console) { return run(*flags, console); });
  return {command, flags.get()};
}

void AddDemo(Program* program) {
  auto [command, flags] = AddCommand(
      program, "demo",
      "Show the main job on real files of this machine, start to end",
      "larder demo --from /usr/include", demo::RunDemo);
  command
      ->add_option("--from", flags->from,
                   "Take files below this directory; unless given, what "
                   "the system has")
      ->type_name("PATH");
  command
      ->add_option("--work", flags->work,
                   "Work here (absent or empty) and keep everything; "
                   "unless given, a temporary directory that is removed")
      ->type_name("DIR");
  auto [child, child_flags] = AddCommand(program, demo::kCrashChildCommand, "",
                                         "", demo::RunCrashChild);
  child->group("");  // Hidden: the demo runs it, and kills it.
  child->add_option("--l2", child_flags->l2)->required();
  child->add_option("--namespace", child_flags->ns)->required();
  child->add_option("--blobs", child_flags->blobs)->required();
}

void AddImport(Program* program) {
  auto [command, flags] = AddCommand(
      program, "import", "Store every regular file below a path as a blob",
      "larder import --l2 /var/cache/l2 --namespace docs --ttl 7d "
      "/usr/share/doc",
      cli::RunImport);
  AddL2(command, &flags->cache)->required();
  AddNamespace(command, &flags->ns);
  AddPutOptions(command, &flags->ttl_ms, &flags->tags);
  command->add_flag("--follow-links", flags->follow_links,
                    "Store what symbolic links lead to, instead of skipping "
                    "them");
  command
      ->add_option("PATH", flags->path,
                   "A directory, or a single file; keys are relative to it")
      ->required();
}

void AddExport(Program* program) {
  auto [command, flags] = AddCommand(
      program, "export", "Write every blob of a namespace to a file",
      "larder export --l2 /var/cache/l2 --namespace docs out/", cli::RunExport);
  AddL2(command, &flags->cache)->required();
  AddNamespace(command, &flags->ns);
  command->add_flag("--overwrite", flags->overwrite,
                    "Export into a directory that is not empty, and replace "
                    "files of the same names");
  command->add_option("OUT", flags->out, "Directory, absent or empty")
      ->required();
}

void AddPut(Program* program) {
  auto [command, flags] = AddCommand(
      program, "put", "Store one blob, from a file or stdin",
      "date | larder put --l2 /var/cache/l2 --namespace misc --ttl 10m now",
      cli::RunPut);
  AddL2(command, &flags->cache)->required();
  AddNamespace(command, &flags->ns);
  AddPutOptions(command, &flags->ttl_ms, &flags->tags);
  command->add_option("KEY", flags->key)->required();
  command->add_option("FILE", flags->file,
                      "The value; stdin unless given, or when it is -");
}

void AddKeyFile(CLI::App* command, std::string* path, const std::string& what) {
  command
      ->add_option("--key-file", *path,
                   absl::StrCat(what,
                                ": a key a line, 64 hexadecimal digits; only "
                                "you may read it"))
      ->type_name("FILE");
}

void AddCredentials(CLI::App* command, cli::CredentialFlags* flags,
                    const std::string& tokens) {
  command
      ->add_option("--tls-cert", flags->tls_certificate,
                   "TLS: this side's certificate")
      ->type_name("PEM");
  command->add_option("--tls-key", flags->tls_key, "TLS: its key")
      ->type_name("PEM");
  command
      ->add_option("--tls-ca", flags->tls_ca,
                   "TLS: who signs the other side's certificate")
      ->type_name("PEM");
  command->add_option("--token-file", flags->token_file, tokens)
      ->type_name("FILE");
  command->add_flag("--insecure", flags->insecure,
                    "Beyond this machine also without TLS and token: whoever "
                    "is on the way may read and write");
}

void AddGet(Program* program) {
  auto [command, flags] = AddCommand(
      program, "get", "Write one blob to stdout or a file",
      "larder get --l2 /var/cache/l2 --namespace docs adduser/copyright\n"
      "  larder get --from grpc://127.0.0.1:7071 --namespace docs "
      "adduser/copyright",
      cli::RunGet);
  CLI::Option* const l2 = AddL2(command, &flags->cache);
  AddParsed(command, "--from", &flags->replica, cli::ParseReplicaLocation,
            "Read from a live replica instead, as grpc://HOST:PORT")
      ->type_name("PLACE")
      ->excludes(l2);
  AddKeyFile(command, &flags->cache.key_file,
             "While the L2 is restored lazily: open a sealed snapshot with the "
             "keys in this file");
  command->get_option("--key-file")->needs(l2);
  AddCredentials(command, &flags->credentials,
                 "Bearer token to show to the replica: the first line");
  command->parse_complete_callback([flags = flags] {
    if (flags->cache.l2.empty() && !flags->replica.has_value()) {
      throw CLI::RequiredError("--l2 or --from");
    }
  });
  AddNamespace(command, &flags->ns);
  command
      ->add_option("--out", flags->out,
                   "Write the bytes here; with --json the only place "
                   "where they go")
      ->type_name("FILE");
  command->add_option("KEY", flags->key)->required();
}

void AddDel(Program* program) {
  auto [command, flags] = AddCommand(
      program, "del", "Remove blobs by key, prefix or tag",
      "larder del --l2 /var/cache/l2 --namespace docs --prefix adduser/",
      cli::RunDel);
  AddL2(command, &flags->cache)->required();
  AddNamespace(command, &flags->ns);
  AddRepeated(command, "--prefix", &flags->prefixes,
              "Remove all keys that start so; may be repeated");
  AddRepeated(command, "--tag", &flags->tags,
              "Remove all blobs with this tag; may be repeated");
  command->add_option("KEY", flags->keys, "Keys to remove");
  command->parse_complete_callback([flags = flags] {
    if (flags->keys.empty() && flags->prefixes.empty() && flags->tags.empty()) {
      throw CLI::RequiredError("a KEY, --prefix or --tag");
    }
  });
}

void AddLs(Program* program) {
  auto [command, flags] = AddCommand(
      program, "ls", "List keys with size, age and time to expiry",
      "larder ls --l2 /var/cache/l2 --namespace docs --prefix add --limit 20",
      cli::RunLs);
  AddL2(command, &flags->cache)->required();
  AddNamespace(command, &flags->ns);
  command->add_option("--prefix", flags->prefix, "Only keys that start so");
  command->add_option("--after", flags->after,
                      "Only keys behind this one: the next page");
  AddParsed(command, "--limit", &flags->limit, ParseCount,
            "At most so many keys")
      ->type_name("N");
}

void AddStats(Program* program) {
  auto [command, flags] =
      AddCommand(program, "stats", "Show what an L2 holds",
                 "larder stats --l2 /var/cache/l2 --json", cli::RunStats);
  AddL2(command, &flags->cache)->required();
}

void AddSweep(Program* program) {
  auto [command, flags] = AddCommand(
      program, "sweep",
      "Remove expired and invalidated blobs, and with --orphans chains that "
      "no record holds",
      "larder sweep --l2 /var/cache/l2 --limit-millis 500", cli::RunSweep);
  AddL2(command, &flags->cache)->required();
  AddParsed(command, "--limit-entries", &flags->limit_entries, ParseCount,
            "Stop after so many entries; the next run goes on")
      ->type_name("N");
  AddParsed(command, "--limit-millis", &flags->limit_millis, ParseCount,
            "Stop after so many milliseconds; the next run goes on")
      ->type_name("N");
  command->add_flag("--orphans", flags->orphans,
                    "Reclaim what a crash left behind, too; a limit counts "
                    "anew for it, from where all that is live is known");
}

void AddFlushNamespace(Program* program) {
  auto [command, flags] = AddCommand(
      program, "flush-namespace",
      "Make everything in a namespace invalid, at once",
      "larder flush-namespace --l2 /var/cache/l2 docs", cli::RunFlushNamespace);
  AddL2(command, &flags->cache)->required();
  AddParsed(command, "NS", &flags->ns, ParseNamespace, "The namespace")
      ->required();
}

// "--to": where the backup goes.
void AddPlaces(CLI::App* command, cli::BackupFlags* flags) {
  command
      ->add_option_function<std::vector<std::string>>(
          "--to",
          [flags](const std::vector<std::string>& texts) {
            for (const std::string& text : texts) {
              auto place = cli::ParseBackupPlace(text);
              if (!place.ok()) {
                throw CLI::ValidationError(
                    "--to", std::string(place.status().message()));
              }
              if (place->replica.has_value()) {
                flags->replicas.push_back(*std::move(place->replica));
              } else {
                flags->directories.push_back(std::move(place->directory));
              }
            }
          },
          "Archive to write, as dir:PATH, or replica to send to, as "
          "grpc://HOST:PORT; may be repeated")
      ->allow_extra_args(false)
      ->type_name("PLACE")
      ->required();
  AddParsed(command, "--quorum", &flags->quorum, ParseCount,
            "Succeed once so many of them have it (default: all)")
      ->type_name("N");
  AddParsed(command, "--term", &flags->term, ParseTerm,
            "This primary's term; replicas refuse lower ones than they have "
            "seen (default: that of its promotion, or 1)")
      ->type_name("N");
}

void AddBackup(Program* program) {
  auto [command, flags] = AddCommand(
      program, "backup",
      "Take a consistent snapshot into one or more archives and replicas",
      "larder backup --l2 /var/cache/l2 --include-blob-cache --to dir:/mnt/a "
      "--to dir:/mnt/b",
      cli::RunBackup);
  AddL2(command, &flags->cache)->required();
  AddPlaces(command, flags);
  AddKeyFile(command, &flags->cache.key_file,
             "Seal it, that is encrypt it before it is sent or written, with "
             "the first key in this file");
  AddCredentials(command, &flags->credentials,
                 "Bearer token to show to replicas: the first line");
  AddParsed(command, "--limit-rate", &flags->bytes_per_second_max,
            cli::ParseBytes,
            "Read and send at most so much a second, such as 50M (default: no "
            "limit)")
      ->type_name("BYTES");
  command->add_flag("--full-priority", flags->full_priority,
                    "Do not run at low priority (nice 19)");
  CLI::Option* const full = command->add_flag(
      "--full", flags->full,
      "Write everything; otherwise an archive gets what changed since the "
      "newest snapshot that it holds of this cache");
  command
      ->add_option("--base", flags->base_id,
                   "Write what changed since this snapshot, which every "
                   "archive must hold")
      ->type_name("ID")
      ->excludes(full);
  command->add_flag("--include-blob-cache", flags->include_blob_cache,
                    "Take the blobs, too: a cache is derived state, and only "
                    "its flushes and invalidations are taken otherwise");
  command
      ->add_option("--files", flags->files,
                   "Back up the files below this directory, too; links, "
                   "special files and empty directories are left out")
      ->type_name("PATH");
}

void AddReplica(Program* program) {
  auto [command, flags] =
      AddCommand(program, "replica",
                 "Take backups over the network: keep them in an archive, or "
                 "apply each to an L2 and serve reads from it",
                 "larder replica --listen 127.0.0.1:7070 --archive /mnt/a\n"
                 "  larder replica --listen 127.0.0.1:7071 --l2 /var/cache/l2",
                 cli::RunReplica);
  AddParsed(command, "--listen", &flags->listen, replication::ParseEndpoint,
            "Where to listen; port 0 takes a free one")
      ->type_name("HOST:PORT")
      ->required();
  CLI::Option* const archive =
      command
          ->add_option("--archive", flags->archive, "Directory of the archive")
          ->type_name("DIR");
  AddBoundedL2(command, &flags->cache,
               "Directory of the L2: absent, empty, or a live replica's, which "
               "'larder promote' makes a primary")
      ->excludes(archive);
  command->parse_complete_callback([flags = flags] {
    if (flags->cache.l2.empty() && flags->archive.empty()) {
      throw CLI::RequiredError("--archive or --l2");
    }
  });
  AddKeyFile(command, &flags->cache.key_file,
             "With --l2: open sealed backups with the keys in this file");
  command->get_option("--key-file")->excludes(archive);
  AddCredentials(command, &flags->credentials,
                 "Bearer tokens to accept, a line each (default: none is "
                 "asked for)");
  AddParsed(command, "--resume-ttl", &flags->resume_ttl_ms,
            cli::ParseDurationMillis,
            "How long a backup that was cut off can go on (default 1h)")
      ->type_name("DURATION");
}

void AddPromote(Program* program) {
  auto [command, flags] = AddCommand(
      program, "promote",
      "Make the L2 of a live replica, which is stopped, a primary with a new "
      "term",
      "larder promote --l2 /var/cache/l2", cli::RunPromote);
  AddBoundedL2(command, &flags->cache, "Directory of the L2")->required();
  AddParsed(command, "--term", &flags->term, ParseTerm,
            "Its term (default: one more than the replica has seen)")
      ->type_name("N");
}

void AddRestore(Program* program) {
  auto [command, flags] = AddCommand(
      program, "restore", "Restore a snapshot into a new L2",
      "larder restore --from dir:/mnt/a --l2 /var/cache/new\n"
      "  larder restore --lazy --from dir:/mnt/a --l2 /var/cache/new",
      cli::RunRestore);
  AddArchive(command, &flags->directory);
  command
      ->add_option("--snapshot", flags->snapshot,
                   "Which one (see 'larder list'); the newest complete "
                   "one unless given")
      ->type_name("ID");
  AddParsed(command, "--at", &flags->not_after_unix_ms, ParseAt,
            "The newest complete one from no later than this: 2h (ago), "
            "2026-11-26T09:30:00Z, or in local time 2026-11-26 09:30 or "
            "2026-11-26 (its first moment)")
      ->type_name("TIME")
      ->excludes("--snapshot");
  AddL2(command, &flags->cache, "Directory of the new L2, absent or empty");
  AddKeyFile(command, &flags->cache.key_file,
             "Open sealed snapshots with the keys in this file");
  command
      ->add_option("--files", flags->files_out,
                   "Restore the files here, absent or empty")
      ->type_name("DIR");
  command->add_flag("--dry-run", flags->dry_run,
                    "Show what would be restored and write nothing; reads the "
                    "manifest only ('larder verify' reads all)");
  CLI::Option* const lazy = command->add_flag(
      "--lazy", flags->lazy,
      "Serve at once and fill then: 'larder get' fetches what is not there "
      "yet. After Ctrl-C or a crash the same command goes on");
  lazy->needs("--l2")->excludes("--files")->excludes("--dry-run");
  command
      ->add_flag("--give-up", flags->give_up,
                 "End what --lazy began, without the archive and the blobs "
                 "that are not there yet: the L2 is as any other then, and can "
                 "be backed up")
      ->needs(lazy)
      ->excludes("--from")
      ->excludes("--snapshot")
      ->excludes("--at");
  command
      ->add_option_function<std::vector<std::string>>(
          "--also-from",
          [flags = flags](const std::vector<std::string>& places) {
            for (const std::string& place : places) {
              auto path = cli::ParseDirectoryLocation(place);
              if (!path.ok()) {
                throw CLI::ValidationError(
                    "--also-from", std::string(path.status().message()));
              }
              flags->more_directories.push_back(*std::move(path));
            }
          },
          "Another archive with the same snapshot, for what is damaged in the "
          "first; may be given again")
      ->allow_extra_args(false)
      ->type_name("dir:PATH")
      ->needs(lazy)
      ->excludes("--give-up");
  command->parse_complete_callback([flags = flags] {
    if (flags->cache.l2.empty() && flags->files_out.empty()) {
      throw CLI::RequiredError("--l2 or --files");
    }
    if (flags->directory.empty() && !flags->lazy) {
      throw CLI::RequiredError("--from");
    }
  });
}

void AddVerify(Program* program) {
  auto [command, flags] = AddCommand(
      program, "verify", "Read everything in an L2 or an archive, and check it",
      "larder verify --from dir:/mnt/a\n"
      "  larder verify --from dir:/mnt/a --sample 5%\n"
      "  larder verify --l2 /var/cache/l2 --repair",
      cli::RunVerify);
  AddL2(command, &flags->cache);
  AddArchive(command, &flags->directory);
  AddKeyFile(command, &flags->cache.key_file,
             "Read also what is in sealed snapshots, not only checksums, with "
             "the keys in this file");
  command->get_option("--key-file")->needs("--from");
  command
      ->add_option("--snapshot", flags->snapshot,
                   "Only this one of the archive")
      ->type_name("ID")
      ->needs("--from");
  command
      ->add_flag("--quick", flags->quick,
                 "Of an archive, look only whether all is there: manifests, "
                 "chains, sizes and heads of packs")
      ->needs("--from");
  AddParsed(command, "--sample", &flags->sample_millionths,
            cli::ParseShareMillionths,
            "As --quick, and read this share of all packs, as 5%")
      ->type_name("SHARE")
      ->needs("--from")
      ->excludes("--quick");
  AddParsed(command, "--seed", &flags->seed, ParseCount,
            "Which packs: those of an earlier --sample with this seed")
      ->type_name("N")
      ->needs("--sample");
  command->add_flag("--full", flags->full, "Read everything (the default)")
      ->excludes("--quick")
      ->excludes("--sample");
  command
      ->add_flag("--repair", flags->repair,
                 "Make the L2 sound and usable again: rebuild what follows "
                 "from the rest, drop only what is provably damaged, and name "
                 "it (exit code 3); nothing else is changed")
      ->needs("--l2");
  command->parse_complete_callback([flags = flags] {
    if (flags->cache.l2.empty() == flags->directory.empty()) {
      throw CLI::RequiredError("one of --l2 and --from");
    }
  });
}

void AddList(Program* program) {
  auto [command, flags] =
      AddCommand(program, "list", "List the snapshots in an archive",
                 "larder list --from dir:/mnt/a", cli::RunList);
  AddArchive(command, &flags->directory);
  command->get_option("--from")->required();
}

void AddShow(Program* program) {
  auto [command, flags] = AddCommand(
      program, "show", "Show all about one snapshot of an archive",
      "larder show dir:/mnt/a 20261126T093000Z-1a2b3c4d", cli::RunShow);
  AddArchiveWord(command, &flags->directory);
  command->add_option("ID", flags->snapshot, "Which one (see 'larder list')")
      ->required();
}

void AddDiff(Program* program) {
  auto [command, flags] = AddCommand(
      program, "diff", "Count the blobs that differ between two snapshots",
      "larder diff dir:/mnt/a 20261125T093000Z-5e6f7a8b "
      "20261126T093000Z-1a2b3c4d --names",
      cli::RunDiff);
  AddArchiveWord(command, &flags->directory);
  command->add_option("A", flags->before, "The one to compare with")
      ->required();
  command->add_option("B", flags->after, "The other one")->required();
  command
      ->add_option("--source", flags->source,
                   "Which blob cache; needed where there are several")
      ->type_name("NAME");
  AddKeyFile(command, &flags->key_file,
             "Open sealed snapshots with the keys in this file");
  command->add_flag("--names", flags->names, "Tell which blobs, too");
  AddParsed(command, "--limit", &flags->limit, ParseCount,
            "At most so many names (default 1000); implies --names")
      ->type_name("N");
}

void AddPrune(Program* program) {
  auto [command, flags] = AddCommand(
      program, "prune",
      "Tell which snapshots a policy would remove, and with --confirm remove "
      "them",
      "larder prune dir:/mnt/a --keep-last 3 --keep-daily 7 --keep-weekly 5 "
      "--confirm",
      cli::RunPrune);
  AddArchiveWord(command, &flags->directory);
  backup::RetentionPolicy* const keep = &flags->policy;
  AddParsed(command, "--keep-last", &keep->last, ParseCount,
            "Keep the last so many")
      ->type_name("N");
  const auto add_period = [command = command](const std::string& name,
                                              int64_t* count,
                                              const std::string& period) {
    AddParsed(command, name, count, ParseCount,
              absl::StrCat("Keep the newest of each of the last so many ",
                           period, " that have one"))
        ->type_name("N");
  };
  add_period("--keep-hourly", &keep->hourly, "hours");
  add_period("--keep-daily", &keep->daily, "days");
  add_period("--keep-weekly", &keep->weekly, "weeks (from Monday)");
  add_period("--keep-monthly", &keep->monthly, "months");
  add_period("--keep-yearly", &keep->yearly, "years");
  command->add_flag("--confirm", flags->confirm,
                    "Remove; otherwise only the plan is printed");
  command->parse_complete_callback([flags = flags] {
    if (flags->policy.empty()) throw CLI::RequiredError("one of --keep-...");
  });
}

// `bazel run` starts programs elsewhere, and says where the user is.
void EnterUsersDirectory() {
  const char* directory = std::getenv("BUILD_WORKING_DIRECTORY");
  if (directory == nullptr) return;
  char here[4096];
  // The variable is inherited by whatever such a program starts.
  if (getcwd(here, sizeof here) == nullptr ||
      !absl::StrContains(here, ".runfiles/")) {
    return;
  }
  if (chdir(directory) != 0) {
    std::cerr << "larder: cannot enter " << directory << "\n";
  }
}

}  // namespace

int RunLarder(int argc, char** argv) {
  EnterUsersDirectory();
  Program program("larder", Program::Kind::kSubcommands);
  for (const auto add :
       {AddDemo, AddImport, AddExport, AddPut, AddGet, AddDel, AddLs, AddStats,
        AddSweep, AddFlushNamespace, AddBackup, AddReplica, AddPromote,
        AddRestore, AddVerify, AddList, AddShow, AddDiff, AddPrune}) {
    add(&program);
  }
  return program.Run(argc, argv);
}

int RunBackupProgram(int argc, char** argv) {
  EnterUsersDirectory();
  Program program("backup", Program::Kind::kSingle);
  AddBackup(&program);
  return program.Run(argc, argv);
}

int RunRestoreProgram(int argc, char** argv) {
  EnterUsersDirectory();
  Program program("restore", Program::Kind::kSingle);
  AddRestore(&program);
  return program.Run(argc, argv);
}

}  // namespace larder::tools
