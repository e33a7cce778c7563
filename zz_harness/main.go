package main
import ("encoding/json";"fmt";"os";"time"
"github.com/opencontainers/runtime-spec/specs-go"
"github.com/proa-containers/proa/oci/launch"
"github.com/proa-containers/proa/oci/runtime"
)
func main(){
 f,err:=os.Open(os.Args[1]); if err!=nil{panic(err)}
 b,_:=os.ReadFile(os.Args[2]+"/config.json")
 var s specs.Spec
 if err:=json.Unmarshal(b,&s);err!=nil{panic(err)}
 s.Linux.Seccomp=nil
 o:=runtime.HostOptions(); o.Bundle=os.Args[2]
 t:=time.Now()
 p,err:=runtime.NewPlan(&s,o); if err!=nil{fmt.Println(err);os.Exit(1)}
 t1:=time.Now()
 pr,err:=launch.Start(&launch.Config{InitFD:f,Plan:p,Stdin:os.Stdin,Stdout:os.Stdout,Stderr:os.Stderr})
 if err!=nil{fmt.Printf("%T %v\n",err,err);os.Exit(1)}
 fmt.Fprintln(os.Stderr,"plan",t1.Sub(t),"start",time.Since(t1))
 if pr.Console!=nil { go func(){ b:=make([]byte,4096); for { n,err:=pr.Console.Read(b); os.Stdout.Write(b[:n]); if err!=nil{return}}}() }
 ws,err:=pr.Wait(); fmt.Fprintln(os.Stderr,ws.ExitStatus(),err)
 os.Exit(ws.ExitStatus())
}
