"""Users, roles and tokens, and locks and elections, as random requests."""

from harness import api

USERS, ROLES = ["root", "u1", "u2"], ["root", "r1", "r2"]
PASSWORDS = ["p", "longer password"]
RANGES = [(b"a", b""), (b"a", b"c"), (b"b", b"\0"), (b"\0", b"\0"), (b"", b""), (b"c", b"a"), (b"b", b"c"), (b"aa", b"ab")]


def auth_request(r, state):
    """(method, message). Passwords are few, so that they often fit; root is made first, often enough."""
    user, role = r.choice(USERS), r.choice(ROLES)
    roll = r.random()
    if not state.auth and roll < 0.25:
        # What enabling needs.
        return r.choice([("Auth.UserAdd", api.AuthUserAddRequest(name="root", password="p")),
                         ("Auth.UserGrantRole", api.AuthUserGrantRoleRequest(user="root", role="root")),
                         ("Auth.AuthEnable", api.AuthEnableRequest())])
    if roll < 0.33:
        return "Auth.Authenticate", api.AuthenticateRequest(name=user, password=r.choice(PASSWORDS))
    start, end = r.choice(RANGES)
    return r.choice([
        ("Auth.AuthEnable", api.AuthEnableRequest()),
        ("Auth.AuthDisable", api.AuthDisableRequest()) if r.random() < 0.1 else ("Auth.UserList", api.AuthUserListRequest()),
        ("Auth.UserAdd", api.AuthUserAddRequest(name=r.choice([user, user, ""]), password=r.choice(["", "p", "p"]),
                                                options=api.authpb.UserAddOptions(no_password=True) if r.random() < 0.2 else None)),
        ("Auth.UserGet", api.AuthUserGetRequest(name=user)),
        ("Auth.UserList", api.AuthUserListRequest()),
        ("Auth.UserDelete", api.AuthUserDeleteRequest(name=user)) if r.random() < 0.4 else ("Auth.UserGet", api.AuthUserGetRequest(name=user)),
        ("Auth.UserChangePassword", api.AuthUserChangePasswordRequest(name=user, password=r.choice(PASSWORDS))),
        ("Auth.UserGrantRole", api.AuthUserGrantRoleRequest(user=user, role=role)),
        ("Auth.UserGrantRole", api.AuthUserGrantRoleRequest(user=user, role=role)),
        ("Auth.UserRevokeRole", api.AuthUserRevokeRoleRequest(name=user, role=role)),
        ("Auth.RoleAdd", api.AuthRoleAddRequest(name=r.choice([role, role, ""]))),
        ("Auth.RoleAdd", api.AuthRoleAddRequest(name=role)),
        ("Auth.RoleGet", api.AuthRoleGetRequest(role=role)),
        ("Auth.RoleList", api.AuthRoleListRequest()),
        ("Auth.RoleDelete", api.AuthRoleDeleteRequest(role=role)) if r.random() < 0.4 else ("Auth.RoleGet", api.AuthRoleGetRequest(role=role)),
        ("Auth.RoleGrantPermission", api.AuthRoleGrantPermissionRequest(
            name=role, perm=api.authpb.Permission(permType=r.randint(0, 2), key=start, range_end=end) if r.random() < 0.95 else None)),
        ("Auth.RoleGrantPermission", api.AuthRoleGrantPermissionRequest(
            name=role, perm=api.authpb.Permission(permType=r.randint(0, 2), key=start, range_end=end))),
        ("Auth.RoleRevokePermission", api.AuthRoleRevokePermissionRequest(role=role, key=start, range_end=end)),
    ])


def claim_request(r, state):
    """Locks and elections that no one else holds, so that none has to wait: each lease has names of its own."""
    known = sorted(state.leases)
    if not known:
        return None
    lease = r.choice(known)
    name, key = b"lock %d" % lease, b"lock %d/%x" % (lease, lease)
    leader = api.v3electionpb.LeaderKey(name=name, key=key, rev=r.choice([*state.claims.values(), state.revision, 0]), lease=lease)
    return r.choice([
        ("Lock.Lock", api.v3lockpb.LockRequest(name=name, lease=lease)),
        ("Lock.Unlock", api.v3lockpb.UnlockRequest(key=r.choice([key, b"nothing"]))),
        ("Election.Campaign", api.v3electionpb.CampaignRequest(name=name, lease=lease, value=r.choice([b"", b"v", b"w"]))),
        ("Election.Proclaim", api.v3electionpb.ProclaimRequest(leader=leader if r.random() < 0.95 else None, value=r.choice([b"x", b"y"]))),
        ("Election.Leader", api.v3electionpb.LeaderRequest(name=r.choice([name, b"nobody"]))),
        ("Election.Resign", api.v3electionpb.ResignRequest(leader=leader if r.random() < 0.95 else None)),
    ])
