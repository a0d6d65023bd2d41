/* SPDX-License-Identifier: MIT */
#include "fuse/mount.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fuse/private.h"

#define STOP_STEPS 500 /* of notifier_stop's moments */

/* Wakes mount_loop's read. */
static void wake_handler(int signal)
{
}

static int start(struct mount *m, const char *mountpoint)
{
	struct fs_kernel kernel;
	int r;

	if ((r = interrupts_new(m->fs, &m->interrupts)) < 0 ||
	    (r = notifier_new(m->session, &m->notifier)) < 0)
		return r;
	if (fuse_session_mount(m->session, mountpoint) < 0)
		return -EIO;
	r = device_take(m);
	if (r < 0)
		return r;
	notifier_fs_kernel(m->notifier, &kernel);
	fs_set_kernel(m->fs, &kernel);
	if ((r = interrupts_start(m->interrupts)) < 0)
		return r;
	return notifier_start(m->notifier);
}

int mount_new(const struct mount_options *o, struct mount **ret)
{
	CLEANUP(mount_freep) struct mount *m = calloc(1, sizeof(*m));
	int r;

	if (!m)
		return -ENOMEM;
	m->fs = o->fs;
	m->owner = getuid();
	struct fuse_args args = FUSE_ARGS_INIT(o->argc, (char **)o->argv);
	m->session = fuse_session_new(&args, &mount_ops, sizeof(mount_ops), m);
	fuse_opt_free_args(&args);
	if (!m->session)
		return -EINVAL;
	r = start(m, o->mountpoint);
	if (r < 0)
		return r;
	*ret = TAKE_PTR(m);
	return 0;
}

int mount_loop(struct mount *m)
{
	const struct sigaction wake = { .sa_handler = wake_handler }; /* no SA_RESTART */
	sigset_t set;

	m->loop_thread = pthread_self();
	sigaction(SIGUSR1, &wake, NULL);
	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	pthread_sigmask(SIG_UNBLOCK, &set, NULL);

	m->looping = true;
	int r = fuse_session_loop(m->session);
	shortcut_settle(m);
	m->looping = false;
	pthread_sigmask(SIG_BLOCK, &set, NULL);
	/* The end of a detached mount is ENODEV, which libfuse takes for one, or this,
	 * when it comes while the device is being read. */
	if (r == -ECONNABORTED && m->detached)
		r = 0;
	return r > 0 ? 0 : r;
}

void mount_detached(struct mount *m)
{
	m->detached = true;
}

void mount_abort(struct mount *m)
{
	fuse_session_exit(m->session);
	if (m->looping)
		pthread_kill(m->loop_thread, SIGUSR1);
}

void mount_free(struct mount *m)
{
	if (!m)
		return;
	/* libfuse closes the device to unmount, and it stays open while something is being sent. */
	for (unsigned n = 0; !notifier_stop(m->notifier) && n < STOP_STEPS; n++)
		device_refuse(m);
	if (m->session && m->detached)
		device_sever(m);
	if (m->session)
		fuse_session_unmount(m->session);
	fs_set_kernel(m->fs, &(struct fs_kernel){ 0 });
	notifier_free(m->notifier);
	interrupts_free(m->interrupts);
	if (m->session)
		fuse_session_destroy(m->session);
	free(m);
}
