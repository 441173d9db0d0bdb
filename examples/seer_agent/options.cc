#include "options.h"

#include <getopt.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <limits>

#include "spans.h"

namespace {

constexpr char kUsage[] =
    "seer-agent [options]\n"
    "\n"
    "Reads the queues of all services on this node at the end of every tick, and tells of them.\n"
    "  --node NAME         the node's name in the cluster; by itself the host name\n"
    "  --directory D       where the services publish; by itself /dev/shm/seer\n"
    "  --period MS         of a tick, 10 to 5000; by itself 100\n"
    "  --samples N         looks during a tick, 1 to 100: for peaks\n"
    "  --kernel            also what the kernel knows: accept and socket queues, packets\n"
    "  --port P=S/I        port P is that of instance I of service S (with --kernel)\n"
    "  --class A/C=S/M:T   requests of method M of service S are class C of application A, with "
    "the\n"
    "                      target T: p99<=20ms/1s, 2%>90ms/1s or 5>90ms/10s. A/ and /M may be "
    "left\n"
    "                      out. Each snapshot then tells how the class did, from the spans that "
    "the\n"
    "                      services record; give it for each class\n"
    "  --spans F           writes the spans themselves to F, with a topology of their own\n"
    "  --output F          writes every snapshot, and the topology when it changes, to F (-: "
    "standard\n"
    "                      output): 4 bytes of length, little-endian, and a message of "
    "seer/core/wire.h\n"
    "  --listen P          serves http://127.0.0.1:P/metrics to Prometheus (0: any free port)\n"
    "  --ticks N           ends after N snapshots; by itself with SIGTERM or Ctrl-C\n"
    "  --quiet             no line for every tick\n"
    "  --demo              publishes a queue of its own, to have something to see\n"
    "  --help\n";

std::optional<std::uint64_t> Number(const char* text, std::uint64_t least, std::uint64_t most) {
  char* end = nullptr;
  errno = 0;
  const std::uint64_t value = std::strtoull(text, &end, 10);
  if (*text < '0' || *text > '9' || *end != '\0' || errno != 0) return std::nullopt;
  return value >= least && value <= most ? std::optional<std::uint64_t>(value) : std::nullopt;
}

// "3306=post-db/mysql-0"
std::optional<seer::KernelProbeOptions::Port> ParsePort(const std::string& text) {
  const std::size_t equals = text.find('=');
  const std::size_t slash = text.find('/', equals);
  if (equals == std::string::npos || slash == std::string::npos) return std::nullopt;
  const auto port = Number(text.substr(0, equals).c_str(), 1, 65535);
  seer::KernelProbeOptions::Port parsed;
  parsed.service = text.substr(equals + 1, slash - equals - 1);
  parsed.instance = text.substr(slash + 1);
  if (!port || parsed.service.empty() || parsed.instance.empty()) return std::nullopt;
  parsed.port = static_cast<std::uint16_t>(*port);
  return parsed;
}

}  // namespace

std::optional<Options> ParseOptions(int argc, char** argv, int* status) {
  static const option kLong[] = {{"node", required_argument, nullptr, 'n'},
                                 {"directory", required_argument, nullptr, 'd'},
                                 {"period", required_argument, nullptr, 'p'},
                                 {"samples", required_argument, nullptr, 's'},
                                 {"kernel", no_argument, nullptr, 'k'},
                                 {"port", required_argument, nullptr, 'P'},
                                 {"class", required_argument, nullptr, 'c'},
                                 {"spans", required_argument, nullptr, 'S'},
                                 {"output", required_argument, nullptr, 'o'},
                                 {"listen", required_argument, nullptr, 'l'},
                                 {"ticks", required_argument, nullptr, 't'},
                                 {"quiet", no_argument, nullptr, 'q'},
                                 {"demo", no_argument, nullptr, 'D'},
                                 {"help", no_argument, nullptr, 'h'},
                                 {nullptr, 0, nullptr, 0}};
  Options options;
  *status = 2;
  bool good = true;
  int which = 0;
  for (int letter; good && (letter = getopt_long(argc, argv, "", kLong, &which)) != -1;) {
    std::optional<std::uint64_t> number;
    switch (letter) {
      case 'n':
        options.collector.node = optarg;
        break;
      case 'd':
        options.collector.reader.directory = optarg;
        break;
      case 'p':
        if ((number = Number(optarg, 10, 5000))) {
          options.collector.period =
              *seer::TickPeriod::FromNs(static_cast<std::int64_t>(*number) * 1'000'000);
        }
        good = number.has_value();
        break;
      case 's':
        if ((number = Number(optarg, 1, 100))) {
          options.collector.samples_per_tick = static_cast<int>(*number);
        }
        good = number.has_value();
        break;
      case 'k':
        options.use_kernel = true;
        break;
      case 'P':
        if (auto port = ParsePort(optarg)) {
          options.kernel.ports.push_back(*port);
        } else {
          good = false;
        }
        break;
      case 'c':
        if (auto parsed = ParseClass(optarg)) {
          options.spans.classes.push_back(*std::move(parsed));
        } else {
          good = false;
        }
        break;
      case 'S':
        options.spans_output = optarg;
        break;
      case 'o':
        options.output = optarg;
        break;
      case 'l':
        if ((number = Number(optarg, 0, 65535))) {
          options.listen = static_cast<std::uint16_t>(*number);
        }
        good = number.has_value();
        break;
      case 't':
        if ((number = Number(optarg, 1, std::numeric_limits<std::uint64_t>::max()))) {
          options.ticks = *number;
        }
        good = number.has_value();
        break;
      case 'q':
        options.quiet = true;
        break;
      case 'D':
        options.demo = true;
        break;
      case 'h':
        std::fputs(kUsage, stdout);
        *status = 0;
        return std::nullopt;
      default:  // getopt_long has told
        std::fputs("seer-agent --help tells what there is\n", stderr);
        return std::nullopt;
    }
    if (!good) std::fprintf(stderr, "--%s: '%s' cannot be\n", kLong[which].name, optarg);
  }
  if (good && optind < argc) {
    std::fprintf(stderr, "seer-agent: '%s' is no option; --help tells what there is\n",
                 argv[optind]);
    good = false;
  }
  if (!good) return std::nullopt;
  options.spans.drainer.directory = options.collector.reader.directory;
  options.spans.drainer.drainer.node = options.collector.node;
  options.spans.drainer.remove_dead = true;
  options.collector.reader.remove_dead = true;
  return options;
}
