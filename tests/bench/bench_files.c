/* Small files, as many programs make them: creates, stats, reads, lists and removes FILES files of BYTES bytes below DIR, and
 * prints operations per second of each on one line.
 *
 * usage: bench_files DIR FILES BYTES */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { FILES_IN_FOLDER = 1000, BYTES_MAX = 1 << 20, PATH_BYTES = 4096 };

typedef struct work {
    const char *dir;
    size_t      files, bytes;
    char       *block;
} work;

static _Noreturn void die(const char *path)
{
    fprintf(stderr, "bench_files: %s: %s\n", path, strerror(errno));
    exit(1);
}

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static void folder_path(const work *w, size_t folder, char path[PATH_BYTES])
{
    snprintf(path, PATH_BYTES, "%s/d%zu", w->dir, folder);
}

static void file_path(const work *w, size_t i, char path[PATH_BYTES])
{
    snprintf(path, PATH_BYTES, "%s/d%zu/f%zu", w->dir, i / FILES_IN_FOLDER, i);
}

static void create(const work *w, size_t i)
{
    char path[PATH_BYTES];
    if (i % FILES_IN_FOLDER == 0) {
        folder_path(w, i / FILES_IN_FOLDER, path);
        if (mkdir(path, 0755) != 0) die(path);
    }
    file_path(w, i, path);
    int f = open(path, O_CREAT | O_EXCL | O_WRONLY, 0644);
    if (f < 0 || write(f, w->block, w->bytes) != (ssize_t)w->bytes || close(f) != 0) die(path);
}

static void look(const work *w, size_t i)
{
    char        path[PATH_BYTES];
    struct stat s;
    file_path(w, i, path);
    if (stat(path, &s) != 0) die(path);
    if ((size_t)s.st_size != w->bytes) {
        errno = EIO;
        die(path);
    }
}

static void read_whole(const work *w, size_t i)
{
    char path[PATH_BYTES];
    file_path(w, i, path);
    int f = open(path, O_RDONLY);
    if (f < 0 || read(f, w->block, w->bytes) != (ssize_t)w->bytes || close(f) != 0) die(path);
}

/* The whole folder when its first file's turn comes. */
static void list(const work *w, size_t i)
{
    char path[PATH_BYTES];
    if (i % FILES_IN_FOLDER != 0) return;
    folder_path(w, i / FILES_IN_FOLDER, path);
    DIR *d = opendir(path);
    if (!d) die(path);
    size_t found = 0;
    while (readdir(d)) found++;
    closedir(d);
    if (found < 2) die(path);
}

static void remove_file(const work *w, size_t i)
{
    char path[PATH_BYTES];
    file_path(w, i, path);
    if (unlink(path) != 0) die(path);
    if ((i + 1) % FILES_IN_FOLDER != 0 && i + 1 != w->files) return;
    folder_path(w, i / FILES_IN_FOLDER, path);
    if (rmdir(path) != 0) die(path);
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        void (*run)(const work *, size_t);
    } steps[] = { { "create", create },
                  { "stat", look },
                  { "read", read_whole },
                  { "list", list },
                  { "remove", remove_file } };

    work w = { 0 };
    if (argc == 4) w = (work){ argv[1], strtoul(argv[2], NULL, 10), strtoul(argv[3], NULL, 10), NULL };
    if (w.files == 0 || w.bytes == 0 || w.bytes > BYTES_MAX) {
        fprintf(stderr, "usage: bench_files DIR FILES BYTES\n");
        return 2;
    }
    w.block = malloc(w.bytes);
    if (!w.block) die(w.dir);
    memset(w.block, 'x', w.bytes);
    for (size_t s = 0; s < sizeof steps / sizeof *steps; s++) {
        double from = now();
        for (size_t i = 0; i < w.files; i++) steps[s].run(&w, i);
        printf("%s %.0f ", steps[s].name, (double)w.files / (now() - from));
    }
    printf("\n");
    free(w.block);
    return 0;
}
