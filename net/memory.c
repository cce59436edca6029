#include "net/memory.h"

#include <malloc.h>
#include <stdio.h>
#include <sys/resource.h>
#include <unistd.h>

static uint64_t resident_bytes(void)
{
    unsigned long long pages = 0;
    FILE              *f = fopen("/proc/self/statm", "re");
    if (!f) return 0;
    if (fscanf(f, "%*u %llu", &pages) != 1) pages = 0;
    fclose(f);
    return pages * (uint64_t)sysconf(_SC_PAGESIZE);
}

memory_use memory_now(void)
{
    struct mallinfo2 m = mallinfo2();
    struct rusage    usage = { 0 };
    memory_use       use = { .allocated = m.uordblks + m.hblkhd,
                             .held = m.arena + m.hblkhd,
                             .resident = resident_bytes(),
                             .machine = (uint64_t)sysconf(_SC_PHYS_PAGES) * (uint64_t)sysconf(_SC_PAGESIZE) };
    if (getrusage(RUSAGE_SELF, &usage) == 0) use.peak = (uint64_t)usage.ru_maxrss * 1024;
    if (use.peak < use.resident) use.peak = use.resident;
    return use;
}

void memory_human(uint64_t bytes, char text[32])
{
    static const char units[] = "BKMGTP";
    double            shown = (double)bytes;
    size_t            unit = 0;
    while (shown >= 1024 && units[unit + 1]) {
        shown /= 1024;
        unit++;
    }
    snprintf(text, 32, unit ? "%.2f%c" : "%.0f%c", shown, units[unit]);
}
