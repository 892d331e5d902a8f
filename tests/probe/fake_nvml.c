/* A stand-in for libnvidia-ml.so.1, steered by the environment:
 *   FAKE_NVML_MODE       two | one | eight | mixed | mig | mig_mixed | none   the cards
 *                        hang | crash | init_hang | noisy | unload_crash | zero | nonsense   two cards that behave so
 *   FAKE_NVML_CARDS      models instead of a mode's, e.g. 4090,t4,a100mig; 4090*32 is 32 of them
 *   FAKE_NVML_FAIL       function:code[:index][;...]   that function returns that code (for that device only);
 *                        a function that ends in * stands for all that begin so
 *   FAKE_NVML_HANG       function[:index]   that function never returns
 *   FAKE_NVML_NAME       name of device 0, whose PCI id is then one that no list has
 *   FAKE_NVML_BUS        PCI bus numbers in NVML's order, e.g. 41,01; an empty one is a device without address
 *   FAKE_NVML_RESERVED   MiB of every card that the driver keeps for itself
 *   FAKE_NVML_PROCESSES  how many processes hold memory of device 0, beside 4242
 *   FAKE_NVML_GROWING    how often the list of processes has grown when it is asked for
 * Device 0 has 4 GiB used. Compiled with OLD_DRIVER it lacks what newer drivers brought.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef unsigned long long size_u;
typedef struct { int index; int instance; } device_t;
typedef struct { size_u total, free, used; } memory_t;
typedef struct { unsigned version; size_u total, reserved, free, used; } memory_v2_t;
typedef struct {
    char bus_id_legacy[16];
    unsigned domain, bus, device, pci_device_id, pci_subsystem_id;
    char bus_id[32];
} pci_t;
typedef struct { unsigned pid; size_u used; unsigned gi, ci; } process_t;
typedef struct {
    unsigned multiprocessors, copy, decoder, encoder, jpeg, ofa, gpu_slices, compute_slices;
    size_u memory_mb;
} attributes_t;
typedef struct { const char *key, *name; int major, minor, gib; unsigned id, watts; int mig; } model_t;

static const model_t models[] = {
    {"4090", "NVIDIA GeForce RTX 4090", 8, 9, 24, 0x2684, 450, 0},
    {"t4", "Tesla T4", 7, 5, 15, 0x1eb8, 70, 0},
    {"3090", "NVIDIA GeForce RTX 3090", 8, 6, 24, 0x2204, 350, 0},
    {"h100", "NVIDIA H100 80GB HBM3", 9, 0, 80, 0x2330, 700, 0},
    {"a100", "NVIDIA A100-SXM4-80GB", 8, 0, 80, 0x20b2, 400, 0},
    {"a100mig", "NVIDIA A100-SXM4-80GB", 8, 0, 80, 0x20b2, 400, 1},
    {"gb10", "NVIDIA GB10", 12, 1, 0, 0x2e12, 0, 0},
    {"orin", "Orin (nvgpu)", 8, 7, 0, 0, 0, 0},
};
static const struct { const char *name; int gib, slices; } cuts[3] = {
    {"MIG 1g.10gb", 10, 1}, {"MIG 2g.20gb", 20, 2}, {"MIG 3g.40gb", 40, 3},
};
static device_t cards[64], instances[64][3];
#define GIB (1ULL << 30)
#define MODEL(device) (model((device)->index))

static const char *set(const char *name) { const char *value = getenv(name); return value ? value : ""; }
static int mode(const char *name) { return strcmp(set("FAKE_NVML_MODE"), name) == 0; }

static const char *list(void) {
    const char *given = set("FAKE_NVML_CARDS");
    if (*given) return given;
    if (mode("none")) return "";
    if (mode("one")) return "4090";
    if (mode("eight")) return "h100*8";
    if (mode("mixed")) return "h100,t4,3090";
    if (mode("mig")) return "a100mig";
    if (mode("mig_mixed")) return "a100,a100mig,a100mig";
    return "4090,t4";
}

/* The model of a device; NULL and the number of devices in *count beyond the last. */
static const model_t *at(int index, int *count) {
    char text[256], *rest = text, *part;
    int seen = 0;
    snprintf(text, sizeof text, "%s", list());
    while ((part = strsep(&rest, ",")) != NULL) {
        char *star = strchr(part, '*');
        int times = star ? atoi(star + 1) : 1;
        if (star) *star = 0;
        for (unsigned m = 0; m < sizeof models / sizeof *models; m++)
            if (strcmp(models[m].key, part) == 0) {
                if (index >= seen && index < seen + times) return &models[m];
                seen += times;
            }
    }
    if (count) *count = seen;
    return NULL;
}
static const model_t *model(int index) { return at(index, NULL); }

static int fails(const char *function, int index) {
    char text[4096], *rest = text, *part, name[80];
    snprintf(text, sizeof text, "%s", set("FAKE_NVML_FAIL"));
    while ((part = strsep(&rest, ";")) != NULL) {
        int code = 0, only = -1;
        if (sscanf(part, "%79[^:]:%d:%d", name, &code, &only) < 2 || (only != -1 && only != index)) continue;
        size_t length = strlen(name);
        int all = length && name[length - 1] == '*';
        if (all ? strncmp(name, function, length - 1) == 0 : strcmp(name, function) == 0) return code;
    }
    return 0;
}

static void hangs(const char *function, int index) {
    char name[80];
    int only = -1;
    if (sscanf(set("FAKE_NVML_HANG"), "%79[^:]:%d", name, &only) < 1 || strcmp(name, function) != 0) return;
    if (only == -1 || only == index) for (;;) pause();
}

#define CHECK(index) do { hangs(__func__, index); int code = fails(__func__, index); if (code) return code; } while (0)

__attribute__((destructor)) static void unload(void) {
    if (mode("unload_crash")) raise(SIGSEGV);
}

int nvmlInitWithFlags(unsigned flags) {
    (void)flags;
    CHECK(-1);
    if (mode("init_hang")) for (;;) pause();
    if (mode("noisy")) { printf("chatter on stdout\n{\"card\": {\"index\": 7}}\n"); fflush(stdout); }
    return 0;
}
int nvmlShutdown(void) { return 0; }
int nvmlSystemGetDriverVersion(char *text, unsigned size) {
    CHECK(-1);
    snprintf(text, size, "999.10.01");
    return 0;
}
#ifndef OLD_DRIVER
int nvmlSystemGetCudaDriverVersion_v2(int *version) { CHECK(-1); *version = 13010; return 0; }
#endif
int nvmlSystemGetCudaDriverVersion(int *version) { CHECK(-1); *version = 11040; return 0; }
int nvmlSystemGetProcessName(unsigned pid, char *text, unsigned size) {
    CHECK(-1);
    if (pid != 4242) return 6;
    snprintf(text, size, "C:\\Program Files\\Ollama\\ollama.exe");
    return 0;
}
int nvmlDeviceGetCount_v2(unsigned *count) {
    int all = 0;
    CHECK(-1);
    at(1000, &all);
    *count = (unsigned)all;
    return 0;
}
int nvmlDeviceGetHandleByIndex_v2(unsigned index, device_t **device) {
    CHECK((int)index);
    if (index == 1 && mode("hang")) for (;;) pause();
    if (index == 1 && mode("crash")) raise(SIGSEGV);
    cards[index] = (device_t){(int)index, -1};
    *device = &cards[index];
    return 0;
}
int nvmlDeviceGetName(device_t *device, char *text, unsigned size) {
    CHECK(device->index);
    const char *given = getenv("FAKE_NVML_NAME");
    if (device->instance >= 0) snprintf(text, size, "%s %s", MODEL(device)->name, cuts[device->instance].name);
    else snprintf(text, size, "%s", given && device->index == 0 ? given : MODEL(device)->name);
    return 0;
}
int nvmlDeviceGetUUID(device_t *device, char *text, unsigned size) {
    CHECK(device->index);
    if (device->instance >= 0) snprintf(text, size, "MIG-%d%d-fake", device->index, device->instance);
    else snprintf(text, size, "GPU-%d%d%d-fake", device->index, device->index, device->index);
    return 0;
}
int nvmlDeviceGetPciInfo_v3(device_t *device, pci_t *pci) {
    char text[256], *rest = text, *part;
    CHECK(device->index);
    memset(pci, 0, sizeof *pci);
    pci->bus = (unsigned)device->index + 1;
    unsigned named = getenv("FAKE_NVML_NAME") != NULL && device->index == 0;
    pci->pci_device_id = (named ? 0xfffe : MODEL(device)->id) << 16 | 0x10de;
    snprintf(pci->bus_id, sizeof pci->bus_id, "00000000:%02X:00.0", pci->bus);
    snprintf(text, sizeof text, "%s", set("FAKE_NVML_BUS"));
    for (int i = 0; *set("FAKE_NVML_BUS") && (part = strsep(&rest, ",")) != NULL; i++)
        if (i == device->index) snprintf(pci->bus_id, sizeof pci->bus_id, *part ? "00000000:%s:00.0" : "", part);
    return 0;
}

static memory_v2_t memory_of(device_t *device) {
    memory_v2_t memory = {0};
    memory.total = (size_u)(device->instance >= 0 ? cuts[device->instance].gib : MODEL(device)->gib) * GIB;
    if (mode("zero")) memory.total = 0;
    if (memory.total == 0) return memory;
    memory.reserved = (size_u)atoi(set("FAKE_NVML_RESERVED")) << 20;
    memory.used = device->instance == 2 ? GIB : device->instance < 0 && device->index == 0 ? 4 * GIB : 0;
    memory.free = memory.total - memory.used - memory.reserved;
    if (mode("nonsense")) memory.free = memory.used = ~0ULL;
    return memory;
}
#ifndef OLD_DRIVER
int nvmlDeviceGetMemoryInfo_v2(device_t *device, memory_v2_t *memory) {
    CHECK(device->index);
    if (memory->version != 0x02000028) return 25;
    if (MODEL(device)->gib == 0) return 3;
    *memory = memory_of(device);
    return 0;
}
#endif
int nvmlDeviceGetMemoryInfo(device_t *device, memory_t *memory) {
    CHECK(device->index);
    if (MODEL(device)->gib == 0) return 3;
    memory_v2_t known = memory_of(device);
    *memory = (memory_t){known.total, known.free, known.used + known.reserved};
    return 0;
}
int nvmlDeviceGetCudaComputeCapability(device_t *device, int *major, int *minor) {
    CHECK(device->index);
    *major = MODEL(device)->major;
    *minor = MODEL(device)->minor;
    return 0;
}

/* The processes of device 0: 4242 (4 GiB, computes and draws), more that compute, and one whose size is unknown. */
static int processes(const char *kind, device_t *device, unsigned *count, process_t *found) {
    static int grown = 0;
    int graphics = strcmp(kind, "Graphics") == 0, more = graphics ? 1 : atoi(set("FAKE_NVML_PROCESSES"));
    unsigned all = device->index || device->instance >= 0 ? 0 : 1 + (unsigned)more, room = *count;
    if (device->instance == 2 && !graphics) all = 1;
    *count = all;
    if (all == 0) return 0;
    if (found != NULL && grown < atoi(set("FAKE_NVML_GROWING"))) { grown++; return 7; }
    if (found == NULL || room < all) return 7;
    memset(found, 0, all * sizeof *found);
    for (unsigned i = 0; i < all; i++) {
        found[i].pid = i ? 5000 + i : device->instance == 2 ? 4343 : 4242;
        found[i].used = i ? (size_u)i << 20 : device->instance == 2 ? GIB : 4 * GIB;
        if (graphics && i) { found[i].pid = 1200; found[i].used = ~0ULL; }
    }
    return 0;
}
#ifndef OLD_DRIVER
int nvmlDeviceGetComputeRunningProcesses_v3(device_t *device, unsigned *count, process_t *found) {
    CHECK(device->index);
    return processes("Compute", device, count, found);
}
int nvmlDeviceGetGraphicsRunningProcesses_v3(device_t *device, unsigned *count, process_t *found) {
    CHECK(device->index);
    return processes("Graphics", device, count, found);
}
int nvmlDeviceGetMigMode(device_t *device, unsigned *current, unsigned *pending) {
    CHECK(device->index);
    if (MODEL(device)->major < 8) return 3;
    *current = *pending = (unsigned)MODEL(device)->mig;
    return 0;
}
int nvmlDeviceGetEnforcedPowerLimit(device_t *device, unsigned *milliwatts) {
    CHECK(device->index);
    if (MODEL(device)->watts == 0) return 3;
    *milliwatts = mode("nonsense") ? ~0U : MODEL(device)->watts * 1000 - 50000;
    return 0;
}
#endif
int nvmlDeviceGetComputeRunningProcesses_v2(device_t *device, unsigned *count, process_t *found) {
    CHECK(device->index);
    return processes("Compute", device, count, found);
}
int nvmlDeviceGetGraphicsRunningProcesses_v2(device_t *device, unsigned *count, process_t *found) {
    CHECK(device->index);
    return processes("Graphics", device, count, found);
}
int nvmlDeviceGetPowerManagementLimit(device_t *device, unsigned *milliwatts) {
    CHECK(device->index);
    if (MODEL(device)->watts == 0) return 3;
    *milliwatts = mode("nonsense") ? 0 : MODEL(device)->watts * 1000;
    return 0;
}
#define LINK(function, known, odd) \
    int function(device_t *device, unsigned *value) { \
        CHECK(device->index); \
        *value = mode("nonsense") ? odd : known; \
        return 0; \
    }
LINK(nvmlDeviceGetCurrPcieLinkGeneration, 1, 0)
LINK(nvmlDeviceGetCurrPcieLinkWidth, 8, ~0U)
LINK(nvmlDeviceGetMaxPcieLinkGeneration, 4, 4000)
LINK(nvmlDeviceGetMaxPcieLinkWidth, 16, 64)

int nvmlDeviceGetMaxMigDeviceCount(device_t *device, unsigned *count) { CHECK(device->index); *count = 7; return 0; }
int nvmlDeviceGetMigDeviceHandleByIndex(device_t *device, unsigned index, device_t **instance) {
    CHECK((int)index);
    /* Position 1 is empty: a deleted instance leaves a hole. */
    if (index == 1 || index > 3) return 6;
    int own = index ? (int)index - 1 : 0;
    instances[device->index][own] = (device_t){device->index, own};
    *instance = &instances[device->index][own];
    return 0;
}
int nvmlDeviceGetGpuInstanceId(device_t *device, unsigned *id) {
    CHECK(device->index);
    *id = 7 + (unsigned)device->instance;
    return 0;
}
int nvmlDeviceGetComputeInstanceId(device_t *device, unsigned *id) { CHECK(device->index); *id = 0; return 0; }
int nvmlDeviceGetAttributes_v2(device_t *device, attributes_t *attributes) {
    CHECK(device->index);
    memset(attributes, 0, sizeof *attributes);
    attributes->compute_slices = attributes->gpu_slices = (unsigned)cuts[device->instance].slices;
    return 0;
}
