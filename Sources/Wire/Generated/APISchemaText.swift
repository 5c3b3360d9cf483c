// The messages, enumerations and routes of the v3 API, as APISchema reads them. Made by scripts/generate-api-schema
// from Tests/EndToEnd/data/api-messages.csv and api-services.csv; do not edit.

enum APISchemaText {
    /// One declaration a line. `message NAME FIELD…` with FIELD = number:name:type, `*` before the type of a repeated field, `|union`
    /// behind that of a member of a oneof. `enum NAME VALUE=number…`. `route PATH SERVICE METHOD KIND REQUEST RESPONSE`.
    static let text: StaticString = """
        message authpb.Permission 1:permType:authpb.Permission.Type 2:key:bytes 3:range_end:bytes
        enum authpb.Permission.Type READ=0 WRITE=1 READWRITE=2
        message authpb.Role 1:name:bytes 2:keyPermission:*authpb.Permission
        message authpb.User 1:name:bytes 2:password:bytes 3:roles:*string 4:options:authpb.UserAddOptions
        message authpb.UserAddOptions 1:no_password:bool
        message etcdserverpb.AlarmMember 1:memberID:uint64 2:alarm:etcdserverpb.AlarmType
        message etcdserverpb.AlarmRequest 1:action:etcdserverpb.AlarmRequest.AlarmAction 2:memberID:uint64 3:alarm:etcdserverpb.AlarmType
        enum etcdserverpb.AlarmRequest.AlarmAction GET=0 ACTIVATE=1 DEACTIVATE=2
        message etcdserverpb.AlarmResponse 1:header:etcdserverpb.ResponseHeader 2:alarms:*etcdserverpb.AlarmMember
        enum etcdserverpb.AlarmType NONE=0 NOSPACE=1 CORRUPT=2
        message etcdserverpb.AuthDisableRequest
        message etcdserverpb.AuthDisableResponse 1:header:etcdserverpb.ResponseHeader
        message etcdserverpb.AuthEnableRequest
        message etcdserverpb.AuthEnableResponse 1:header:etcdserverpb.ResponseHeader
        message etcdserverpb.AuthRoleAddRequest 1:name:string
        message etcdserverpb.AuthRoleAddResponse 1:header:etcdserverpb.ResponseHeader
        message etcdserverpb.AuthRoleDeleteRequest 1:role:string
        message etcdserverpb.AuthRoleDeleteResponse 1:header:etcdserverpb.ResponseHeader
        message etcdserverpb.AuthRoleGetRequest 1:role:string
        message etcdserverpb.AuthRoleGetResponse 1:header:etcdserverpb.ResponseHeader 2:perm:*authpb.Permission
        message etcdserverpb.AuthRoleGrantPermissionRequest 1:name:string 2:perm:authpb.Permission
        message etcdserverpb.AuthRoleGrantPermissionResponse 1:header:etcdserverpb.ResponseHeader
        message etcdserverpb.AuthRoleListRequest
        message etcdserverpb.AuthRoleListResponse 1:header:etcdserverpb.ResponseHeader 2:roles:*string
        message etcdserverpb.AuthRoleRevokePermissionRequest 1:role:string 2:key:bytes 3:range_end:bytes
        message etcdserverpb.AuthRoleRevokePermissionResponse 1:header:etcdserverpb.ResponseHeader
        message etcdserverpb.AuthStatusRequest
        message etcdserverpb.AuthStatusResponse 1:header:etcdserverpb.ResponseHeader 2:enabled:bool 3:authRevision:uint64
        message etcdserverpb.AuthUserAddRequest 1:name:string 2:password:string 3:options:authpb.UserAddOptions 4:hashedPassword:string
        message etcdserverpb.AuthUserAddResponse 1:header:etcdserverpb.ResponseHeader
        message etcdserverpb.AuthUserChangePasswordRequest 1:name:string 2:password:string 3:hashedPassword:string
        message etcdserverpb.AuthUserChangePasswordResponse 1:header:etcdserverpb.ResponseHeader
        message etcdserverpb.AuthUserDeleteRequest 1:name:string
        message etcdserverpb.AuthUserDeleteResponse 1:header:etcdserverpb.ResponseHeader
        message etcdserverpb.AuthUserGetRequest 1:name:string
        message etcdserverpb.AuthUserGetResponse 1:header:etcdserverpb.ResponseHeader 2:roles:*string
        message etcdserverpb.AuthUserGrantRoleRequest 1:user:string 2:role:string
        message etcdserverpb.AuthUserGrantRoleResponse 1:header:etcdserverpb.ResponseHeader
        message etcdserverpb.AuthUserListRequest
        message etcdserverpb.AuthUserListResponse 1:header:etcdserverpb.ResponseHeader 2:users:*string
        message etcdserverpb.AuthUserRevokeRoleRequest 1:name:string 2:role:string
        message etcdserverpb.AuthUserRevokeRoleResponse 1:header:etcdserverpb.ResponseHeader
        message etcdserverpb.AuthenticateRequest 1:name:string 2:password:string
        message etcdserverpb.AuthenticateResponse 1:header:etcdserverpb.ResponseHeader 2:token:string
        message etcdserverpb.CompactionRequest 1:revision:int64 2:physical:bool
        message etcdserverpb.CompactionResponse 1:header:etcdserverpb.ResponseHeader
        message etcdserverpb.Compare 1:result:etcdserverpb.Compare.CompareResult 2:target:etcdserverpb.Compare.CompareTarget 3:key:bytes 4:version:int64|target_union 5:create_revision:int64|target_union 6:mod_revision:int64|target_union 7:value:bytes|target_union 8:lease:int64|target_union 64:range_end:bytes
        enum etcdserverpb.Compare.CompareResult EQUAL=0 GREATER=1 LESS=2 NOT_EQUAL=3
        enum etcdserverpb.Compare.CompareTarget VERSION=0 CREATE=1 MOD=2 VALUE=3 LEASE=4
        message etcdserverpb.DefragmentRequest
        message etcdserverpb.DefragmentResponse 1:header:etcdserverpb.ResponseHeader
        message etcdserverpb.DeleteRangeRequest 1:key:bytes 2:range_end:bytes 3:prev_kv:bool
        message etcdserverpb.DeleteRangeResponse 1:header:etcdserverpb.ResponseHeader 2:deleted:int64 3:prev_kvs:*mvccpb.KeyValue
        message etcdserverpb.DowngradeInfo 1:enabled:bool 2:targetVersion:string
        message etcdserverpb.DowngradeRequest 1:action:etcdserverpb.DowngradeRequest.DowngradeAction 2:version:string
        enum etcdserverpb.DowngradeRequest.DowngradeAction VALIDATE=0 ENABLE=1 CANCEL=2
        message etcdserverpb.DowngradeResponse 1:header:etcdserverpb.ResponseHeader 2:version:string
        message etcdserverpb.DowngradeVersionTestRequest 1:ver:string
        message etcdserverpb.HashKVRequest 1:revision:int64
        message etcdserverpb.HashKVResponse 1:header:etcdserverpb.ResponseHeader 2:hash:uint32 3:compact_revision:int64 4:hash_revision:int64
        message etcdserverpb.HashRequest
        message etcdserverpb.HashResponse 1:header:etcdserverpb.ResponseHeader 2:hash:uint32
        message etcdserverpb.InternalAuthenticateRequest 1:name:string 2:password:string 3:simple_token:string
        message etcdserverpb.InternalRaftRequest 1:ID:uint64 2:v2:etcdserverpb.Request 3:range:etcdserverpb.RangeRequest 4:put:etcdserverpb.PutRequest 5:delete_range:etcdserverpb.DeleteRangeRequest 6:txn:etcdserverpb.TxnRequest 7:compaction:etcdserverpb.CompactionRequest 8:lease_grant:etcdserverpb.LeaseGrantRequest 9:lease_revoke:etcdserverpb.LeaseRevokeRequest 10:alarm:etcdserverpb.AlarmRequest 11:lease_checkpoint:etcdserverpb.LeaseCheckpointRequest 100:header:etcdserverpb.RequestHeader 1000:auth_enable:etcdserverpb.AuthEnableRequest 1011:auth_disable:etcdserverpb.AuthDisableRequest 1012:authenticate:etcdserverpb.InternalAuthenticateRequest 1013:auth_status:etcdserverpb.AuthStatusRequest 1100:auth_user_add:etcdserverpb.AuthUserAddRequest 1101:auth_user_delete:etcdserverpb.AuthUserDeleteRequest 1102:auth_user_get:etcdserverpb.AuthUserGetRequest 1103:auth_user_change_password:etcdserverpb.AuthUserChangePasswordRequest 1104:auth_user_grant_role:etcdserverpb.AuthUserGrantRoleRequest 1105:auth_user_revoke_role:etcdserverpb.AuthUserRevokeRoleRequest 1106:auth_user_list:etcdserverpb.AuthUserListRequest 1107:auth_role_list:etcdserverpb.AuthRoleListRequest 1200:auth_role_add:etcdserverpb.AuthRoleAddRequest 1201:auth_role_delete:etcdserverpb.AuthRoleDeleteRequest 1202:auth_role_get:etcdserverpb.AuthRoleGetRequest 1203:auth_role_grant_permission:etcdserverpb.AuthRoleGrantPermissionRequest 1204:auth_role_revoke_permission:etcdserverpb.AuthRoleRevokePermissionRequest 1300:cluster_version_set:membershippb.ClusterVersionSetRequest 1301:cluster_member_attr_set:membershippb.ClusterMemberAttrSetRequest 1302:downgrade_info_set:membershippb.DowngradeInfoSetRequest 9900:downgrade_version_test:etcdserverpb.DowngradeVersionTestRequest
        message etcdserverpb.LeaseCheckpoint 1:ID:int64 2:remaining_TTL:int64
        message etcdserverpb.LeaseCheckpointRequest 1:checkpoints:*etcdserverpb.LeaseCheckpoint
        message etcdserverpb.LeaseGrantRequest 1:TTL:int64 2:ID:int64
        message etcdserverpb.LeaseGrantResponse 1:header:etcdserverpb.ResponseHeader 2:ID:int64 3:TTL:int64 4:error:string
        message etcdserverpb.LeaseKeepAliveRequest 1:ID:int64
        message etcdserverpb.LeaseKeepAliveResponse 1:header:etcdserverpb.ResponseHeader 2:ID:int64 3:TTL:int64
        message etcdserverpb.LeaseLeasesRequest
        message etcdserverpb.LeaseLeasesResponse 1:header:etcdserverpb.ResponseHeader 2:leases:*etcdserverpb.LeaseStatus
        message etcdserverpb.LeaseRevokeRequest 1:ID:int64
        message etcdserverpb.LeaseRevokeResponse 1:header:etcdserverpb.ResponseHeader
        message etcdserverpb.LeaseStatus 1:ID:int64
        message etcdserverpb.LeaseTimeToLiveRequest 1:ID:int64 2:keys:bool
        message etcdserverpb.LeaseTimeToLiveResponse 1:header:etcdserverpb.ResponseHeader 2:ID:int64 3:TTL:int64 4:grantedTTL:int64 5:keys:*bytes
        message etcdserverpb.Member 1:ID:uint64 2:name:string 3:peerURLs:*string 4:clientURLs:*string 5:isLearner:bool
        message etcdserverpb.MemberAddRequest 1:peerURLs:*string 2:isLearner:bool
        message etcdserverpb.MemberAddResponse 1:header:etcdserverpb.ResponseHeader 2:member:etcdserverpb.Member 3:members:*etcdserverpb.Member
        message etcdserverpb.MemberListRequest 1:linearizable:bool
        message etcdserverpb.MemberListResponse 1:header:etcdserverpb.ResponseHeader 2:members:*etcdserverpb.Member
        message etcdserverpb.MemberPromoteRequest 1:ID:uint64
        message etcdserverpb.MemberPromoteResponse 1:header:etcdserverpb.ResponseHeader 2:members:*etcdserverpb.Member
        message etcdserverpb.MemberRemoveRequest 1:ID:uint64
        message etcdserverpb.MemberRemoveResponse 1:header:etcdserverpb.ResponseHeader 2:members:*etcdserverpb.Member
        message etcdserverpb.MemberUpdateRequest 1:ID:uint64 2:peerURLs:*string
        message etcdserverpb.MemberUpdateResponse 1:header:etcdserverpb.ResponseHeader 2:members:*etcdserverpb.Member
        message etcdserverpb.MoveLeaderRequest 1:targetID:uint64
        message etcdserverpb.MoveLeaderResponse 1:header:etcdserverpb.ResponseHeader
        message etcdserverpb.PutRequest 1:key:bytes 2:value:bytes 3:lease:int64 4:prev_kv:bool 5:ignore_value:bool 6:ignore_lease:bool
        message etcdserverpb.PutResponse 1:header:etcdserverpb.ResponseHeader 2:prev_kv:mvccpb.KeyValue
        message etcdserverpb.RangeRequest 1:key:bytes 2:range_end:bytes 3:limit:int64 4:revision:int64 5:sort_order:etcdserverpb.RangeRequest.SortOrder 6:sort_target:etcdserverpb.RangeRequest.SortTarget 7:serializable:bool 8:keys_only:bool 9:count_only:bool 10:min_mod_revision:int64 11:max_mod_revision:int64 12:min_create_revision:int64 13:max_create_revision:int64
        enum etcdserverpb.RangeRequest.SortOrder NONE=0 ASCEND=1 DESCEND=2
        enum etcdserverpb.RangeRequest.SortTarget KEY=0 VERSION=1 CREATE=2 MOD=3 VALUE=4
        message etcdserverpb.RangeResponse 1:header:etcdserverpb.ResponseHeader 2:kvs:*mvccpb.KeyValue 3:more:bool 4:count:int64
        message etcdserverpb.Request 1:ID:uint64 2:Method:string 3:Path:string 4:Val:string 5:Dir:bool 6:PrevValue:string 7:PrevIndex:uint64 8:PrevExist:bool 9:Expiration:int64 10:Wait:bool 11:Since:uint64 12:Recursive:bool 13:Sorted:bool 14:Quorum:bool 15:Time:int64 16:Stream:bool 17:Refresh:bool
        message etcdserverpb.RequestHeader 1:ID:uint64 2:username:string 3:auth_revision:uint64
        message etcdserverpb.RequestOp 1:request_range:etcdserverpb.RangeRequest|request 2:request_put:etcdserverpb.PutRequest|request 3:request_delete_range:etcdserverpb.DeleteRangeRequest|request 4:request_txn:etcdserverpb.TxnRequest|request
        message etcdserverpb.ResponseHeader 1:cluster_id:uint64 2:member_id:uint64 3:revision:int64 4:raft_term:uint64
        message etcdserverpb.ResponseOp 1:response_range:etcdserverpb.RangeResponse|response 2:response_put:etcdserverpb.PutResponse|response 3:response_delete_range:etcdserverpb.DeleteRangeResponse|response 4:response_txn:etcdserverpb.TxnResponse|response
        message etcdserverpb.SnapshotRequest
        message etcdserverpb.SnapshotResponse 1:header:etcdserverpb.ResponseHeader 2:remaining_bytes:uint64 3:blob:bytes 4:version:string
        message etcdserverpb.StatusRequest
        message etcdserverpb.StatusResponse 1:header:etcdserverpb.ResponseHeader 2:version:string 3:dbSize:int64 4:leader:uint64 5:raftIndex:uint64 6:raftTerm:uint64 7:raftAppliedIndex:uint64 8:errors:*string 9:dbSizeInUse:int64 10:isLearner:bool 11:storageVersion:string 12:dbSizeQuota:int64 13:downgradeInfo:etcdserverpb.DowngradeInfo
        message etcdserverpb.TxnRequest 1:compare:*etcdserverpb.Compare 2:success:*etcdserverpb.RequestOp 3:failure:*etcdserverpb.RequestOp
        message etcdserverpb.TxnResponse 1:header:etcdserverpb.ResponseHeader 2:succeeded:bool 3:responses:*etcdserverpb.ResponseOp
        message etcdserverpb.WatchCancelRequest 1:watch_id:int64
        message etcdserverpb.WatchCreateRequest 1:key:bytes 2:range_end:bytes 3:start_revision:int64 4:progress_notify:bool 5:filters:*etcdserverpb.WatchCreateRequest.FilterType 6:prev_kv:bool 7:watch_id:int64 8:fragment:bool
        enum etcdserverpb.WatchCreateRequest.FilterType NOPUT=0 NODELETE=1
        message etcdserverpb.WatchProgressRequest
        message etcdserverpb.WatchRequest 1:create_request:etcdserverpb.WatchCreateRequest|request_union 2:cancel_request:etcdserverpb.WatchCancelRequest|request_union 3:progress_request:etcdserverpb.WatchProgressRequest|request_union
        message etcdserverpb.WatchResponse 1:header:etcdserverpb.ResponseHeader 2:watch_id:int64 3:created:bool 4:canceled:bool 5:compact_revision:int64 6:cancel_reason:string 7:fragment:bool 11:events:*mvccpb.Event
        message leasepb.Lease 1:ID:int64 2:TTL:int64 3:RemainingTTL:int64
        message membershippb.Attributes 1:name:string 2:client_urls:*string
        message membershippb.ClusterMemberAttrSetRequest 1:member_ID:uint64 2:member_attributes:membershippb.Attributes
        message membershippb.ClusterVersionSetRequest 1:ver:string
        message membershippb.DowngradeInfoSetRequest 1:enabled:bool 2:ver:string
        message mvccpb.Event 1:type:mvccpb.Event.EventType 2:kv:mvccpb.KeyValue 3:prev_kv:mvccpb.KeyValue
        enum mvccpb.Event.EventType PUT=0 DELETE=1
        message mvccpb.KeyValue 1:key:bytes 2:create_revision:int64 3:mod_revision:int64 4:version:int64 5:value:bytes 6:lease:int64
        message v3electionpb.CampaignRequest 1:name:bytes 2:lease:int64 3:value:bytes
        message v3electionpb.CampaignResponse 1:header:etcdserverpb.ResponseHeader 2:leader:v3electionpb.LeaderKey
        message v3electionpb.LeaderKey 1:name:bytes 2:key:bytes 3:rev:int64 4:lease:int64
        message v3electionpb.LeaderRequest 1:name:bytes
        message v3electionpb.LeaderResponse 1:header:etcdserverpb.ResponseHeader 2:kv:mvccpb.KeyValue
        message v3electionpb.ProclaimRequest 1:leader:v3electionpb.LeaderKey 2:value:bytes
        message v3electionpb.ProclaimResponse 1:header:etcdserverpb.ResponseHeader
        message v3electionpb.ResignRequest 1:leader:v3electionpb.LeaderKey
        message v3electionpb.ResignResponse 1:header:etcdserverpb.ResponseHeader
        message v3lockpb.LockRequest 1:name:bytes 2:lease:int64
        message v3lockpb.LockResponse 1:header:etcdserverpb.ResponseHeader 2:key:bytes
        message v3lockpb.UnlockRequest 1:key:bytes
        message v3lockpb.UnlockResponse 1:header:etcdserverpb.ResponseHeader
        route /v3/kv/range etcdserverpb.KV Range unary etcdserverpb.RangeRequest etcdserverpb.RangeResponse
        route /v3/kv/put etcdserverpb.KV Put unary etcdserverpb.PutRequest etcdserverpb.PutResponse
        route /v3/kv/deleterange etcdserverpb.KV DeleteRange unary etcdserverpb.DeleteRangeRequest etcdserverpb.DeleteRangeResponse
        route /v3/kv/txn etcdserverpb.KV Txn unary etcdserverpb.TxnRequest etcdserverpb.TxnResponse
        route /v3/kv/compaction etcdserverpb.KV Compact unary etcdserverpb.CompactionRequest etcdserverpb.CompactionResponse
        route /v3/watch etcdserverpb.Watch Watch bidi-stream etcdserverpb.WatchRequest etcdserverpb.WatchResponse
        route /v3/lease/grant etcdserverpb.Lease LeaseGrant unary etcdserverpb.LeaseGrantRequest etcdserverpb.LeaseGrantResponse
        route /v3/lease/revoke etcdserverpb.Lease LeaseRevoke unary etcdserverpb.LeaseRevokeRequest etcdserverpb.LeaseRevokeResponse
        route /v3/kv/lease/revoke etcdserverpb.Lease LeaseRevoke unary etcdserverpb.LeaseRevokeRequest etcdserverpb.LeaseRevokeResponse
        route /v3/lease/keepalive etcdserverpb.Lease LeaseKeepAlive bidi-stream etcdserverpb.LeaseKeepAliveRequest etcdserverpb.LeaseKeepAliveResponse
        route /v3/lease/timetolive etcdserverpb.Lease LeaseTimeToLive unary etcdserverpb.LeaseTimeToLiveRequest etcdserverpb.LeaseTimeToLiveResponse
        route /v3/kv/lease/timetolive etcdserverpb.Lease LeaseTimeToLive unary etcdserverpb.LeaseTimeToLiveRequest etcdserverpb.LeaseTimeToLiveResponse
        route /v3/lease/leases etcdserverpb.Lease LeaseLeases unary etcdserverpb.LeaseLeasesRequest etcdserverpb.LeaseLeasesResponse
        route /v3/kv/lease/leases etcdserverpb.Lease LeaseLeases unary etcdserverpb.LeaseLeasesRequest etcdserverpb.LeaseLeasesResponse
        route /v3/cluster/member/add etcdserverpb.Cluster MemberAdd unary etcdserverpb.MemberAddRequest etcdserverpb.MemberAddResponse
        route /v3/cluster/member/remove etcdserverpb.Cluster MemberRemove unary etcdserverpb.MemberRemoveRequest etcdserverpb.MemberRemoveResponse
        route /v3/cluster/member/update etcdserverpb.Cluster MemberUpdate unary etcdserverpb.MemberUpdateRequest etcdserverpb.MemberUpdateResponse
        route /v3/cluster/member/list etcdserverpb.Cluster MemberList unary etcdserverpb.MemberListRequest etcdserverpb.MemberListResponse
        route /v3/cluster/member/promote etcdserverpb.Cluster MemberPromote unary etcdserverpb.MemberPromoteRequest etcdserverpb.MemberPromoteResponse
        route /v3/maintenance/alarm etcdserverpb.Maintenance Alarm unary etcdserverpb.AlarmRequest etcdserverpb.AlarmResponse
        route /v3/maintenance/status etcdserverpb.Maintenance Status unary etcdserverpb.StatusRequest etcdserverpb.StatusResponse
        route /v3/maintenance/defragment etcdserverpb.Maintenance Defragment unary etcdserverpb.DefragmentRequest etcdserverpb.DefragmentResponse
        route /v3/maintenance/hash etcdserverpb.Maintenance Hash unary etcdserverpb.HashRequest etcdserverpb.HashResponse
        route /v3/maintenance/hashkv etcdserverpb.Maintenance HashKV unary etcdserverpb.HashKVRequest etcdserverpb.HashKVResponse
        route /v3/maintenance/snapshot etcdserverpb.Maintenance Snapshot server-stream etcdserverpb.SnapshotRequest etcdserverpb.SnapshotResponse
        route /v3/maintenance/transfer-leadership etcdserverpb.Maintenance MoveLeader unary etcdserverpb.MoveLeaderRequest etcdserverpb.MoveLeaderResponse
        route /v3/maintenance/downgrade etcdserverpb.Maintenance Downgrade unary etcdserverpb.DowngradeRequest etcdserverpb.DowngradeResponse
        route /v3/auth/enable etcdserverpb.Auth AuthEnable unary etcdserverpb.AuthEnableRequest etcdserverpb.AuthEnableResponse
        route /v3/auth/disable etcdserverpb.Auth AuthDisable unary etcdserverpb.AuthDisableRequest etcdserverpb.AuthDisableResponse
        route /v3/auth/status etcdserverpb.Auth AuthStatus unary etcdserverpb.AuthStatusRequest etcdserverpb.AuthStatusResponse
        route /v3/auth/authenticate etcdserverpb.Auth Authenticate unary etcdserverpb.AuthenticateRequest etcdserverpb.AuthenticateResponse
        route /v3/auth/user/add etcdserverpb.Auth UserAdd unary etcdserverpb.AuthUserAddRequest etcdserverpb.AuthUserAddResponse
        route /v3/auth/user/get etcdserverpb.Auth UserGet unary etcdserverpb.AuthUserGetRequest etcdserverpb.AuthUserGetResponse
        route /v3/auth/user/list etcdserverpb.Auth UserList unary etcdserverpb.AuthUserListRequest etcdserverpb.AuthUserListResponse
        route /v3/auth/user/delete etcdserverpb.Auth UserDelete unary etcdserverpb.AuthUserDeleteRequest etcdserverpb.AuthUserDeleteResponse
        route /v3/auth/user/changepw etcdserverpb.Auth UserChangePassword unary etcdserverpb.AuthUserChangePasswordRequest etcdserverpb.AuthUserChangePasswordResponse
        route /v3/auth/user/grant etcdserverpb.Auth UserGrantRole unary etcdserverpb.AuthUserGrantRoleRequest etcdserverpb.AuthUserGrantRoleResponse
        route /v3/auth/user/revoke etcdserverpb.Auth UserRevokeRole unary etcdserverpb.AuthUserRevokeRoleRequest etcdserverpb.AuthUserRevokeRoleResponse
        route /v3/auth/role/add etcdserverpb.Auth RoleAdd unary etcdserverpb.AuthRoleAddRequest etcdserverpb.AuthRoleAddResponse
        route /v3/auth/role/get etcdserverpb.Auth RoleGet unary etcdserverpb.AuthRoleGetRequest etcdserverpb.AuthRoleGetResponse
        route /v3/auth/role/list etcdserverpb.Auth RoleList unary etcdserverpb.AuthRoleListRequest etcdserverpb.AuthRoleListResponse
        route /v3/auth/role/delete etcdserverpb.Auth RoleDelete unary etcdserverpb.AuthRoleDeleteRequest etcdserverpb.AuthRoleDeleteResponse
        route /v3/auth/role/grant etcdserverpb.Auth RoleGrantPermission unary etcdserverpb.AuthRoleGrantPermissionRequest etcdserverpb.AuthRoleGrantPermissionResponse
        route /v3/auth/role/revoke etcdserverpb.Auth RoleRevokePermission unary etcdserverpb.AuthRoleRevokePermissionRequest etcdserverpb.AuthRoleRevokePermissionResponse
        route /v3/lock/lock v3lockpb.Lock Lock unary v3lockpb.LockRequest v3lockpb.LockResponse
        route /v3/lock/unlock v3lockpb.Lock Unlock unary v3lockpb.UnlockRequest v3lockpb.UnlockResponse
        route /v3/election/campaign v3electionpb.Election Campaign unary v3electionpb.CampaignRequest v3electionpb.CampaignResponse
        route /v3/election/proclaim v3electionpb.Election Proclaim unary v3electionpb.ProclaimRequest v3electionpb.ProclaimResponse
        route /v3/election/leader v3electionpb.Election Leader unary v3electionpb.LeaderRequest v3electionpb.LeaderResponse
        route /v3/election/observe v3electionpb.Election Observe server-stream v3electionpb.LeaderRequest v3electionpb.LeaderResponse
        route /v3/election/resign v3electionpb.Election Resign unary v3electionpb.ResignRequest v3electionpb.ResignResponse
        """
}
