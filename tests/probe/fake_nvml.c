/* A stand-in for libnvidia-ml.so.1, steered by the environment:
 *   FAKE_NVML_MODE    two | hang | crash | mig | noisy | init_hang | unload_crash | none
 *   FAKE_NVML_FAIL    function:code[:index]   that function returns that code (for that device only)
 *   FAKE_NVML_NAME    name of device 0
 * Two cards: a GeForce RTX 4090 (24 GiB, 4 GiB used) and a Tesla T4 (15 GiB).
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef struct { int index; int instance; } device_t;
typedef struct { unsigned long long total, free, used; } memory_t;
typedef struct {
    char bus_id_legacy[16];
    unsigned domain, bus, device, pci_device_id, pci_subsystem_id;
    char bus_id[32];
} pci_t;
typedef struct { unsigned pid; unsigned long long used; unsigned gi, ci; } process_t;
typedef struct {
    unsigned multiprocessors, copy, decoder, encoder, jpeg, ofa, gpu_slices, compute_slices;
    unsigned long long memory_mb;
} attributes_t;

static device_t cards[2] = {{0, -1}, {1, -1}};
static device_t instances[3] = {{0, 0}, {0, 1}, {0, 2}};
#define GIB (1ULL << 30)

static int mode(const char *name) {
    const char *set = getenv("FAKE_NVML_MODE");
    return set != NULL && strcmp(set, name) == 0;
}

static int fails(const char *function, int index) {
    const char *spec = getenv("FAKE_NVML_FAIL");
    char name[80];
    int code = 0, only = -1;
    if (spec == NULL || sscanf(spec, "%79[^:]:%d:%d", name, &code, &only) < 2 || strcmp(name, function) != 0)
        return 0;
    return only == -1 || only == index ? code : 0;
}

#define CHECK(index) do { int code = fails(__func__, index); if (code) return code; } while (0)

__attribute__((destructor)) static void unload(void) {
    if (mode("unload_crash")) raise(SIGSEGV);
}

int nvmlInitWithFlags(unsigned flags) {
    (void)flags;
    CHECK(-1);
    if (mode("init_hang")) for (;;) pause();
    if (mode("noisy")) { printf("chatter on stdout\n{\"status\": \"ok\", \"count\": 99}\n"); fflush(stdout); }
    return 0;
}
int nvmlShutdown(void) { return 0; }
int nvmlSystemGetDriverVersion(char *text, unsigned size) { CHECK(-1); snprintf(text, size, "999.0"); return 0; }
int nvmlDeviceGetCount_v2(unsigned *count) { CHECK(-1); *count = mode("none") ? 0 : mode("mig") ? 1 : 2; return 0; }
int nvmlDeviceGetHandleByIndex_v2(unsigned index, device_t **device) {
    CHECK((int)index);
    if (index == 1 && mode("hang")) for (;;) pause();
    if (index == 1 && mode("crash")) raise(SIGSEGV);
    *device = &cards[index];
    return 0;
}
int nvmlDeviceGetName(device_t *device, char *text, unsigned size) {
    CHECK(device->index);
    if (device->instance >= 0) { snprintf(text, size, "NVIDIA A100-SXM4-80GB MIG %dg", device->instance + 1); return 0; }
    if (mode("mig")) { snprintf(text, size, "NVIDIA A100-SXM4-80GB"); return 0; }
    const char *name = getenv("FAKE_NVML_NAME");
    snprintf(text, size, "%s", device->index ? "Tesla T4" : name ? name : "NVIDIA GeForce RTX 4090");
    return 0;
}
int nvmlDeviceGetUUID(device_t *device, char *text, unsigned size) {
    CHECK(device->index);
    snprintf(text, size, "GPU-%d%d%d-fake", device->index, device->index, device->index);
    return 0;
}
int nvmlDeviceGetPciInfo_v3(device_t *device, pci_t *pci) {
    CHECK(device->index);
    memset(pci, 0, sizeof *pci);
    snprintf(pci->bus_id, sizeof pci->bus_id, "00000000:0%d:00.0", device->index + 1);
    return 0;
}
int nvmlDeviceGetMemoryInfo(device_t *device, memory_t *memory) {
    CHECK(device->index);
    if (device->instance >= 0) {
        memory->total = (unsigned long long[]){10, 20, 40}[device->instance] * GIB;
        memory->used = device->instance == 2 ? GIB : 0;
    } else {
        memory->total = mode("mig") ? 80 * GIB : device->index ? 15 * GIB : 24 * GIB;
        memory->used = device->index ? 0 : 4 * GIB;
        if (mode("zero")) memory->total = memory->used = 0;
    }
    memory->free = memory->total - memory->used;
    return 0;
}
int nvmlDeviceGetCudaComputeCapability(device_t *device, int *major, int *minor) {
    CHECK(device->index);
    *major = device->index ? 7 : 8;
    *minor = device->index ? 5 : mode("mig") ? 0 : 9;
    return 0;
}
int nvmlDeviceGetComputeRunningProcesses_v3(device_t *device, unsigned *count, process_t *processes) {
    CHECK(device->index);
    if (device->index) { *count = 0; return 0; }
    if (processes == NULL || *count < 1) { *count = 1; return 7; }
    *count = 1;
    memset(processes, 0, sizeof *processes);
    processes[0].pid = 4242;
    processes[0].used = 4 * GIB;
    return 0;
}
int nvmlDeviceGetMigMode(device_t *device, unsigned *current, unsigned *pending) {
    CHECK(device->index);
    if (!mode("mig")) return 3;
    *current = *pending = 1;
    return 0;
}
int nvmlDeviceGetMaxMigDeviceCount(device_t *device, unsigned *count) { CHECK(device->index); *count = 7; return 0; }
int nvmlDeviceGetMigDeviceHandleByIndex(device_t *device, unsigned index, device_t **instance) {
    CHECK((int)index);
    (void)device;
    if (index > 2) return 6;
    *instance = &instances[index];
    return 0;
}
int nvmlDeviceGetAttributes_v2(device_t *device, attributes_t *attributes) {
    CHECK(device->index);
    memset(attributes, 0, sizeof *attributes);
    attributes->gpu_slices = (unsigned)device->instance + 1;
    return 0;
}
